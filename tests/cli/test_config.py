"""Config files: what they may say, who wins, and the commands about them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from dubber.cli.app import app
from dubber.cli.command_tables import commands_of, key_of, keyed_options
from dubber.cli.config_text import template
from dubber.cli.options.settings import SETTING_OF, build_config
from dubber.config import DubConfig, setting_keys
from dubber.config_file import COMMANDS
from dubber.errors import ConfigError
from dubber.presets import DEFAULT_PRESET, PRESETS
from tests.cli.command import dubber
from tests.synth import make_wall_clip, talking_sound, write_wav

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = typer.main.get_command(app)
FLAGS: dict[str, tuple[list[str], Any]] = {
    "audio_language": (["deu"], "deu"),
    "audio_track": (["add"], "add"),
    "av_offset_ms": (["40"], 40.0),
    "bed_gain_db": (["-6"], -6.0),
    "chroma": (["source"], "source"),
    "consent": (["Ann, by letter"], "Ann, by letter"),
    "crf": (["21"], 21),
    "deinterlace": ([], True),
    "encoder_preset": (["slow"], "slow"),
    "label": ([], True),
    "label_text": (["made"], "made"),
    "labelled": ([], True),
    "length": (["bounce"], "bounce"),
    "mouth_gain": (["1.5"], 1.5),
    "renderer": (["copy"], "copy"),
    "tracker": (["mediapipe-tasks"], "mediapipe-tasks"),
    "translator": (["lstm"], "lstm"),
    "vcodec": (["libx265"], "libx265"),
}
"""For each option that stands for a setting, what follows it, and the value that makes."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config file."""

    def make(text: str) -> Path:
        path = tmp_path / "dubber.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but files and flags says where the cache is."""
    monkeypatch.delenv("DUBBER_CACHE")


def shown(*arguments: str | Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    """What `dubber config show --json` prints."""
    result = dubber("config", "show", "--json", *arguments, env=env)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_template_changes_nothing_and_says_the_defaults(write: Callable[[str], Path]) -> None:
    text = template(ROOT)
    said = re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)
    assert DubConfig.from_toml(write(text)) == DubConfig.from_toml(write(said)) == DubConfig()
    assert dubber("config", "validate", write(said)).returncode == 0
    document = tomllib.loads(said)
    unset = set(re.findall(r"^# (\w+) is not set", text, flags=re.MULTILINE))
    for key in setting_keys():
        stage, _, name = key.partition(".")
        assert name in document[stage] or name in unset, key
    for command in ("run", "batch"):
        for option in keyed_options(ROOT.commands[command]).values():  # type: ignore[attr-defined]
            assert key_of(option) in {*document[command], *unset} or option.name in SETTING_OF


def test_init_writes_once(tmp_path: Path) -> None:
    path = tmp_path / "dubber.toml"
    assert dubber("config", "init", path).returncode == 0
    assert path.read_text() == dubber("config", "init", "-").stdout
    path.write_text("# mine\n")
    assert dubber("config", "init", path).returncode == 9
    assert path.read_text() == "# mine\n"
    assert dubber("config", "init", path, "--overwrite").returncode == 0
    assert path.read_text() != "# mine\n"
    result = dubber("config", "init", tmp_path / "absent" / "dubber.toml")
    assert (result.returncode, "Make it first" in result.stderr) == (2, True)


def test_files_lie_relative_to_the_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("face.jpg", "anna.wav", "letter.txt", "mine.py"):
        (tmp_path / name).touch()
    render, consent = "renderer = 'mine.py:Mine'\n", "consent = 'letter.txt'\n"
    track = "[track]\nspeaker = 'face.jpg'\n"
    run = "[run]\nspeaker = ['face.jpg=anna.wav', '2=away.wav']\n"
    for text in (
        f"[render]\n{render}[remux]\n{consent}{track}{run}",
        f"{run}{render}{consent}{track}",
    ):
        document = shown("--config", write(text))
        settings = {key: each["value"] for key, each in document["settings"].items()}
        assert settings["render.renderer"] == f"{tmp_path / 'mine.py'}:Mine"
        assert settings["track.speaker"] == str(tmp_path / "face.jpg")
        assert settings["remux.consent"] == str(tmp_path / "letter.txt")
        speakers = [f"{tmp_path / 'face.jpg'}={tmp_path / 'anna.wav'}", "2=away.wav"]
        assert document["options"]["speaker"]["value"] == speakers


def test_later_layers_win_and_the_source_is_told(write: Callable[[str], Path]) -> None:
    stage_table, command_table = "[render]\nrenderer = 'unet'\n", "[run]\nrenderer = 'copy'\n"

    def renderer(*arguments: str | Path) -> tuple[str, str]:
        value = shown(*arguments)["settings"]["render.renderer"]
        return value["value"], value["source"]

    assert renderer() == ("hybrid", "default")
    assert renderer("--preset", "fast") == ("exemplar", "preset fast")
    path = write("preset = 'fast'\n")
    assert renderer("--config", path) == ("exemplar", "preset fast")
    assert renderer("--config", path, "--preset", "balanced") == ("hybrid", "default")
    path = write("preset = 'fast'\n" + stage_table)
    assert renderer("--config", path) == ("unet", str(path))
    path = write("preset = 'fast'\n" + stage_table + command_table)
    assert renderer("--config", path) == ("copy", f"{path} [run]")
    assert renderer("--config", path, "--set", "render.renderer=unet") == ("unet", "--set")
    flags = ("--config", path, "--set", "render.renderer=unet", "--renderer", "hybrid")
    assert renderer(*flags) == ("hybrid", "--renderer")


@pytest.mark.usefixtures("no_variable")
def test_what_run_is_told_holds_for_commands_that_tell_of_it(write: Callable[[str], Path]) -> None:
    run = (
        "[run]\nlength = 'loop'\nadapt = 3\nlabel_text = 'made \N{GRINNING FACE}'\naudio_language = 'deu'\n"
        "device = 'cpu'\nspeaker = ['2']\noverwrite = true\nstrict = true\njson = true\nquiet = true\n"
    )
    path = write(run + "[plan]\nlength = 'bounce'\n")
    told = {
        "length.mode": "loop",
        "adapt.is_on": True,
        "adapt.minutes": 3.0,
        "mark.is_on": True,
        "mark.text": "made \N{GRINNING FACE}",
        "remux.audio_language": "deu",
    }
    for command in ("run", "plan", "check", "inspect", "faces", "batch", "export curves", "eval self"):
        settings = shown(*command.split(), "--config", path, "--changed")["settings"]
        values = {key: each["value"] for key, each in settings.items()}
        wanted = {**told, **({"length.mode": "bounce"} if command == "plan" else {})}
        if command not in ("inspect", "faces", "eval self"):
            wanted["track.speaker"] = "2"
        assert values == wanted, command
    sources = shown("plan", "--config", path, "--changed")["settings"]
    assert sources["length.mode"]["source"] == f"{path} [plan]"
    assert sources["adapt.minutes"]["source"] == f"{path} [run]"
    for command, options in {
        "plan": {"speaker"},
        "check": {"speaker", "device", "overwrite", "strict"},
        "inspect": {"device"},
        "train expression": {"device"},
    }.items():
        given = ("--config", path) if command != "train expression" else ()
        changed = shown(*command.split(), *given, "--changed", env={"DUBBER_CONFIG": str(path)})["options"]
        assert set(changed) - {"adapt"} == options, command


def test_a_plan_is_that_of_the_run_of_the_same_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    clip, speech = tmp_path / "wall.mp4", tmp_path / "speech.wav"
    make_wall_clip(clip)
    write_wav(speech, talking_sound(1.0))
    path = write(
        "[run]\ncache = 'there'\nrenderer = 'copy'\nlength = 'silence'\ncrf = 30\nlabel_text = 'x'\n"
    )
    files = (clip, speech, "--config", path, "--json")
    run, plan = dubber("run", *files, "--dry-run"), dubber("plan", *files)
    assert json.loads(plan.stdout)["stages"] == json.loads(run.stdout)["stages"]
    assert "mark" in [row["stage"] for row in json.loads(run.stdout)["stages"]]


def test_what_changes_the_dub_is_an_option_of_plan_and_check_too() -> None:
    options = {
        name: {param.name for param in ROOT.commands[name].params}  # type: ignore[attr-defined]
        for name in ("run", "plan", "check")
    }
    of_run = options["run"] & (
        set(SETTING_OF) | {"adapt", "speaker", "script", "start", "end", "bed", "preset"}
    )
    assert of_run <= options["plan"]
    assert of_run <= options["check"]


def test_settings_go_before_options_of_tables(write: Callable[[str], Path]) -> None:
    path = write("[run]\nadapt = 3\nconsent = 'Ann \N{GRINNING FACE}'\n")
    made = ["--config", path, "--set", "adapt.is_on=false", "--set", "adapt.minutes=7"]
    settings = shown(*made, "--changed")["settings"]
    assert (settings["adapt.is_on"]["value"], settings["adapt.minutes"]["value"]) == (False, 7.0)
    context = ROOT.commands["run"].make_context(  # type: ignore[attr-defined]
        "run", ["a.mp4", "b.wav", *map(str, made)], parent=typer.Context(ROOT)
    )
    config = build_config(context.params["config"], context.params["settings"])
    assert (config.remux.consent, config.adapt.minutes) == ("Ann \N{GRINNING FACE}", 7.0)


def test_a_preset_gives_way_to_what_it_does_not_fit(write: Callable[[str], Path]) -> None:
    for renderer in (("--renderer", "exemplar"), ("--set", "render.renderer=unet")):
        settings = shown("--preset", "best", *renderer)["settings"]
        assert settings["adapt.is_on"] == {"value": False, "source": "default"}
    assert shown("--preset", "best")["settings"]["adapt.is_on"] == {"value": True, "source": "preset best"}
    assert not build_config(None, None, "best", renderer="exemplar").adapt.is_on
    assert build_config(None, None, "best", renderer="exemplar", adapt="5").adapt.is_on
    file = write("preset = 'best'\n[render]\nrenderer = 'copy'\n")
    assert not DubConfig.from_toml(file).adapt.is_on


@pytest.mark.usefixtures("no_variable")
def test_options_come_from_flag_variable_or_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    path = write("[run]\ncache = 'there'\noverwrite = true\nthreads = 3\n")
    options = shown("--config", path, "--threads", "2")["options"]
    assert options["cache"] == {"value": str(tmp_path / "there"), "source": str(path)}
    assert options["overwrite"] == {"value": True, "source": str(path)}
    assert options["threads"] == {"value": 2, "source": "--threads"}
    assert options["strict"] == {"value": False, "source": "default"}
    options = shown("--config", path, env={"DUBBER_CACHE": "/elsewhere"})["options"]
    assert options["cache"] == {"value": "/elsewhere", "source": "variable DUBBER_CACHE"}


def test_a_run_does_what_its_table_says(write: Callable[[str], Path], tmp_path: Path) -> None:
    clip, speech = tmp_path / "wall.mp4", tmp_path / "speech.wav"
    make_wall_clip(clip)
    write_wav(speech, talking_sound(1.0))
    path = write("[run]\ndry_run = true\njson = true\ncache = 'there'\nadapt = 2\nrenderer = 'copy'\n")
    result = dubber("run", clip, speech, "--config", path, "--renderer", "hybrid")
    assert result.returncode == 0, result.stderr
    assert "adapt" in [row["stage"] for row in json.loads(result.stdout)["stages"]]
    result = dubber("run", clip, speech, "--config", path)
    assert result.returncode == 2
    assert "'copy' cannot adapt" in result.stderr


@pytest.mark.usefixtures("no_variable")
def test_the_variable_names_a_file_for_every_command(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path = write("[cache.ls]\ncache = 'there'\njson = true\n[cache.prune]\nkeep = 'much'\n")
    env = {"DUBBER_CONFIG": str(path)}
    assert json.loads(dubber("cache", "ls", env=env).stdout)["root"] == str(tmp_path / "there")
    assert "much" in dubber("cache", "prune", env=env).stderr
    assert shown("cache", "prune", env=env)["options"]["keep"] == {"value": "much", "source": str(path)}


def test_what_is_shown_is_a_config_file_of_the_same_effect(write: Callable[[str], Path]) -> None:
    flags = ("--preset", "best", "--crf", "20", "--set", "track.speaker='2'", "--threads", "2")
    path = write(dubber("config", "show", "run", *flags).stdout)
    again, first = shown("--config", path), shown(*flags)
    for part in ("settings", "options"):
        values = [{key: each["value"] for key, each in document[part].items()} for document in (again, first)]
        assert values[0] == values[1]
    assert set(shown("--changed", "--crf", "20")["settings"]) == {"remux.crf"}


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("preset = 'fats'", "no preset 'fats'", "fast"),
        ("preset = 'veryfast'", "no preset 'veryfast'", "--encoder-preset"),
        ("preset = 3", "not the name of a preset", ""),
        ("crf = 3", "'crf' stands in no table", "[run]"),
        ("[rendr]\nx = 1", "[rendr]", "`render`"),
        ("[render]\nrendrer = 'copy'", "render.rendrer", "`renderer`"),
        ("[render]\nnum_candidates = 0", "render.num_candidates", ""),
        ("[run]\noverwrit = true", "'overwrit'", "`overwrite`"),
        ("[run]\noverwrite = 'perhaps'", "'overwrite' of [run]", ""),
        ("[run]\nspeaker = '2'", "takes a list", ""),
        ("[run]\ncrf = 99", "remux.crf", ""),
        ("[run]\nadapt = 'soon'", "no time to adapt", ""),
        ("[run]\nconfig = 'other.toml'", "'config'", ""),
        ("[eval.self]\npicturs = false", "'picturs'", "`pictures`"),
        ("[eval]\nself = 1", "'eval.self' is no table", "[eval.self]"),
        ("[eval.slef]\npictures = false", "[eval.slef]", "`eval.self`"),
        ("[weights.import.face-model]\nlandmark = 1", "'landmark'", "`landmarks`"),
        ("[render", "no valid TOML", ""),
    ],
)
def test_errors_name_file_and_key(write: Callable[[str], Path], text: str, message: str, advice: str) -> None:
    path = write(text)
    validated = dubber("config", "validate", path)
    run = dubber("run", "a.mp4", "b.wav", "--config", path)
    for result in (validated, run):
        assert result.returncode == 2
        assert str(path) in result.stderr and message in result.stderr and advice in result.stderr


def test_validate_tells_all_that_is_wrong(write: Callable[[str], Path], tmp_path: Path) -> None:
    path = write(
        "preset = 'x'\n[y]\n[render]\nz = 1\nnum_candidates = 0\n[run]\nv = 1\nw = 2\n[batch]\nu = 3\n"
    )
    result = dubber("config", "validate", path, tmp_path / "absent.toml", "--json")
    first, second = json.loads(result.stdout)["files"]
    assert result.returncode == 2
    assert len(first["errors"]) == 7
    assert "cannot be read" in second["errors"][0]["message"]
    assert "6 more" in dubber("run", "a.mp4", "b.wav", "--config", path).stderr


def test_a_mark_of_the_encoding_may_come_first(write: Callable[[str], Path]) -> None:
    assert (
        shown("--config", write("\ufeff[remux]\ncrf = 30\n"), "--changed")["settings"]["remux.crf"]["value"]
        == 30
    )


def test_the_python_api_takes_the_same_file(write: Callable[[str], Path]) -> None:
    config = DubConfig.from_toml(write("preset = 'fast'\n[remux]\ncrf = 30\n[run]\noverwrite = true\n"))
    assert (config.render.renderer, config.remux.crf) == ("exemplar", 30)
    with pytest.raises(ConfigError, match="rendr"):
        DubConfig.from_toml(write("[rendr]\n"))


def test_tables_of_stages_and_commands_do_not_meet() -> None:
    assert set(COMMANDS) == set(ROOT.commands)  # type: ignore[attr-defined]
    assert not set(COMMANDS) & set(DubConfig.model_fields)


def test_presets_set_what_there_is() -> None:
    assert build_config(None, None, DEFAULT_PRESET) == DubConfig()
    for name, preset in PRESETS.items():
        config = build_config(None, None, name).model_dump()
        assert all(
            config[key.split(".")[0]][key.split(".")[1]] == value for key, value in preset.values.items()
        )


COMMANDS_WITH_SETTINGS = {
    names: command
    for names, command in commands_of(ROOT)
    if any(param.name == "settings" for param in command.params)
    and names != ("batch",)  # whose jobs are built from `SETTING_OF` itself
}


@pytest.mark.parametrize("names", COMMANDS_WITH_SETTINGS, ids=" ".join)
def test_options_set_their_settings(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command hands each such option on to the setting that docs and config files know it by."""
    made: list[DubConfig] = []

    def build_and_leave(*arguments: Any, **flags: Any) -> None:
        made.append(build_config(*arguments, **flags))
        raise typer.Exit

    monkeypatch.setattr("dubber.cli.options.build_config", build_and_leave)
    arguments: list[str] = []
    wanted: dict[str, Any] = {}
    for number, param in enumerate(COMMANDS_WITH_SETTINGS[names].params):
        if param.name in SETTING_OF:
            given, wanted[SETTING_OF[param.name]] = FLAGS[param.name]
            arguments += [param.opts[0], *given]
        elif param.param_type_name == "argument":
            arguments.append(f"file{number}")
        elif param.required:
            arguments += [param.opts[0], f"file{number}"]
    result = dubber(*names, *arguments)
    assert made, result.stderr
    settings = made[0].model_dump(mode="json")
    assert {key: settings[key.split(".")[0]][key.split(".")[1]] for key in wanted} == wanted
