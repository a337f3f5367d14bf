"""The command line: help, exit codes, what goes to stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dubber import __version__
from dubber.cli.cache import parse_bytes
from dubber.engine.disk import human_bytes
from dubber.errors import ConfigError
from tests.cli.command import dubber
from tests.synth import make_wall_clip, talking_sound, write_wav


def test_version() -> None:
    result = dubber("--version")
    assert (result.returncode, result.stdout) == (0, f"dubber {__version__}\n")


@pytest.mark.parametrize(
    "command",
    ["run", "plan", "check", "doctor", "batch", "inspect", "methods", "cache", "weights", "eval", "train"],
)
def test_every_command_is_listed_and_has_help(command: str) -> None:
    assert command in dubber("--help").stdout
    result = dubber(command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom dubber.cli.app import app\n"
        "try:\n    app(['run', '--help'])\n"
        "except SystemExit as exit_:\n    assert not exit_.code\n"
        "heavy = 'torch cv2 av librosa mediapipe scipy numpy http.client dubber.config'.split()\n"
        "sys.exit(str([module for module in heavy if module in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Usage" in result.stdout
    assert result.stderr.strip() == "[]"


def test_usage_errors_exit_2() -> None:
    assert dubber("run").returncode == 2
    assert dubber("run", "a.mp4", "b.wav", "--length", "stretch").returncode == 2
    assert dubber("no-such-command").returncode == 2


def test_missing_file_says_which_and_exits_3(tmp_path: Path) -> None:
    result = dubber(
        "run", tmp_path / "absent.mp4", tmp_path / "b.wav", "-o", tmp_path / "o.mp4", "--cache", tmp_path
    )
    assert result.returncode == 3
    assert "absent.mp4" in result.stderr.replace("\n", "")
    assert result.stdout == ""
    assert not (tmp_path / "o.mp4").exists()


def test_errors_are_json_when_asked(tmp_path: Path) -> None:
    result = dubber("run", tmp_path / "absent.mp4", tmp_path / "b.wav", "-o", tmp_path / "o.mp4", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == result.returncode == 3
    assert error["type"] == "MediaError" and error["where"].endswith("absent.mp4")


def test_a_config_file_asks_for_errors_as_json_as_the_flag_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks, cannot, other = (tmp_path / f"{name}.toml" for name in ("asks", "cannot", "other"))
    asks.write_text("[run]\njson = true\n[cache.ls]\njson = true\n")
    cannot.write_text("[run]\njson = true\nnonsense = 3\n")
    other.write_text("[batch]\njson = true\n")
    run = ["run", "absent.mp4", "b.wav"]

    def error(*arguments: str | Path) -> dict[str, Any]:
        result = dubber(*arguments)
        found: dict[str, Any] = json.loads(result.stdout)["error"]
        assert found["exit_code"] == result.returncode
        return found

    assert error(*run, "--config", asks)["type"] == "MediaError"
    assert "nonsense" in error(*run, f"--config={cannot}")["message"]
    usage = error(*run, "--config", asks, "--crff", "3")
    assert "--crff" in usage["message"] and usage["where"].endswith("run")
    assert "bogus" in error("bogus", "--json")["message"]
    assert dubber(*run, "--config", other).stdout == ""
    monkeypatch.setenv("DUBBER_CONFIG", str(asks))
    assert error(*run)["type"] == "MediaError"
    assert "--shred" in error("cache", "ls", "--shred")["message"]
    assert dubber("cache", "prune", "--shred").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--set", "render.rendererr=copy"], "rendererr"),
        (["--set", "nonsense"], "STAGE.NAME=VALUE"),
        (["--crf", "99"], "crf"),
        (["--renderer", "magic"], "renderer"),
        (["-o", "out.gif"], ".gif"),
        (["--side-by-side", "both.gif"], ".gif"),
        (["-o", "same.mp4", "--side-by-side", "same.mp4"], "both"),
        (["--side-by-side", "both.mp4", "--until", "fit"], "--until"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--adapt", "soon"], "--adapt 5"),
        (["--adapt", "0"], "'adapt.minutes'"),
    ],
)
def test_wrong_settings_name_the_setting(tmp_path: Path, arguments: list[str], part: str) -> None:
    result = dubber("run", tmp_path / "a.mp4", tmp_path / "b.wav", *arguments)
    assert result.returncode == 2, result.stderr
    assert part in result.stderr


def test_unknown_device_exits_7(tmp_path: Path) -> None:
    assert dubber("run", tmp_path / "a.mp4", tmp_path / "b.wav", "--device", "tpu").returncode == 7


def test_plan_tells_stages_and_disk_and_loads_no_network(tmp_path: Path) -> None:
    make_wall_clip(tmp_path / "wall.mp4", num_frames=25)
    audio = write_wav(tmp_path / "speech.wav", talking_sound(2.0))
    arguments = ("plan", str(tmp_path / "wall.mp4"), str(audio), "--cache", str(tmp_path / "cache"), "--json")
    code = (
        f"import sys; sys.argv = ['dubber', *{arguments!r}]\n"
        "from dubber.cli.app import app\n"
        "try:\n    app()\n"
        "except SystemExit as exit_:\n    assert not exit_.code\n"
        "heavy = {'torch', 'librosa', 'mediapipe', 'matplotlib', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert all(row["will_run"] for row in document["stages"])
    assert 0 < document["disk"]["output_bytes"] < document["disk"]["cache_bytes"]


def test_methods_lists_the_null_twins() -> None:
    document = json.loads(dubber("methods", "--json").stdout)
    names = {(row["part"], row["name"]) for row in document["methods"]}
    assert {("renderer", "copy"), ("translator", "neutral")} <= names


def test_weights_verify_finds_a_changed_file(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"changed")
    (tmp_path / "manifest.toml").write_text(
        '[w]\nfile="w.safetensors"\nsha256="00"\nkind="x"\nlicence="y"\nis_commercial_use_allowed=true\n'
        'training_data=""\nrecipe=""\ndescription=""\n'
    )
    result = dubber("weights", "verify", "--weights", tmp_path)
    assert result.returncode == 4
    assert "not the ones" in result.stderr


def test_shipped_weights_verify() -> None:
    result = dubber("weights", "verify", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ok"]


def test_cache_of_an_empty_folder(tmp_path: Path) -> None:
    assert json.loads(dubber("cache", "ls", "--cache", tmp_path, "--json").stdout)["entries"] == []
    assert dubber("cache", "prune", "--keep", "lots", "--cache", tmp_path).returncode == 2


def test_sizes() -> None:
    assert [parse_bytes(text) for text in ("0", "500M", "1.5 G", "20gb")] == [
        0,
        500_000_000,
        1_500_000_000,
        20_000_000_000,
    ]
    assert [human_bytes(n) for n in (12, 34_000, 5_600_000, 7_800_000_000)] == [
        "12 B",
        "34 kB",
        "5.6 MB",
        "7.8 GB",
    ]
    with pytest.raises(ConfigError):
        parse_bytes("many")


def test_interrupt_in_generated_code_still_ends_with_130(tmp_path: Path) -> None:
    program = tmp_path / "interrupted.py"
    program.write_text(
        "from dubber.cli import app\n"
        "def interrupted(args):\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
        "app.app = interrupted\n"
        "app.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.run(
        [sys.executable, "-m", "interrupted"], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 130
    assert "Interrupted" in process.stderr


@pytest.mark.parametrize("flag", ["-v", "-vv", "--verbose"])
def test_a_cause_is_told_to_who_asks_for_more(flag: str, tmp_path: Path) -> None:
    line = ("run", "a.mp4", "b.wav", "--config", tmp_path / "absent.toml")
    assert "FileNotFoundError" in dubber(*line, flag).stderr
    assert "FileNotFoundError" not in dubber(*line).stderr
