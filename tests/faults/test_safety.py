"""Nothing that a file or a name holds is ever run, and no name leads out of its folder."""

from __future__ import annotations

import ast
import os
import resource
from pathlib import Path

import pytest

from dubber.cli.batch_jobs import Given
from dubber.cli.batch_session import Source
from dubber.engine.codecs import inside, load_artefact
from dubber.engine.mapped import map_arrays
from dubber.engine.weights import WeightsFolder
from dubber.errors import ConfigError, MediaError, WeightsError
from dubber.media import container
from dubber.media.container import open_media
from dubber.media.probe import probe
from dubber.types import Speech
from examples.clipfile import VideoFormat
from tests.conftest import REPOSITORY
from tests.synth import make_clip

FORBIDDEN = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"}
FORBIDDEN |= {"pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "asyncio.create_subprocess_shell"}

PLUGINS = REPOSITORY / "dubber" / "stages" / "plugins.py"
"""Runs the file that the user named as a renderer of theirs."""


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


SOURCES = sorted((REPOSITORY / "dubber").rglob("*.py"))


def test_there_is_no_shell_and_nothing_is_unpickled() -> None:
    assert len(SOURCES) > 50
    for path in SOURCES:
        for call in calls(path):
            name = ast.unparse(call.func)
            assert name not in FORBIDDEN or path == PLUGINS, f"{path}:{call.lineno}"
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert words.get("shell", "False") == "False", f"{path}:{call.lineno}"
            assert words.get("allow_pickle", "False") == "False", f"{path}:{call.lineno}"
            if name == "torch.load":
                assert words.get("weights_only") == "True", f"{path}:{call.lineno}"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".", ""])
def test_names_in_a_cache_entry_stay_in_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a file"):
        inside(tmp_path, name)
    text = f'{{"wav": ["{name}"], "sample_rate_hz": 16000, "num_samples": 1}}'
    (tmp_path / "values.json").write_text(text)
    with pytest.raises(ValueError, match="is no name of a file"):
        load_artefact(Speech, tmp_path)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b", "", ".."])
def test_names_in_a_weights_manifest_stay_in_its_folder(tmp_path: Path, name: str) -> None:
    row = dict.fromkeys(("kind", "licence", "training_data", "recipe", "description"), '""')
    row |= {"file": f'"{name}"', "sha256": '""', "is_commercial_use_allowed": "true"}
    text = "[face_model]\n" + "\n".join(f"{key} = {value}" for key, value in row.items())
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(WeightsError, match="no name of a file"):
        WeightsFolder(tmp_path).path("face_model")


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[-1],"data_offsets":[4,0]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[1000000,1000004]}',
        '{"dtype":"O","shape":[1],"data_offsets":[0,8]}',
    ],
    ids=["too long", "negative shape", "before", "behind", "no number"],
)
def test_arrays_lie_inside_their_file(tmp_path: Path, entry: str) -> None:
    header = f'{{"a":{entry}}}'.encode()
    path = tmp_path / "arrays.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises((ValueError, LookupError)):
        map_arrays(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path, words in ((tmp_path / "pipe.mp4", "pipe or device"), (tmp_path, "folder")):
        with pytest.raises(MediaError, match=words), open_media(path):
            pass
    with pytest.raises(MediaError, match="pipe or device"), open_media(Path(os.devnull)):
        pass


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/below"])
def test_names_that_no_disk_takes_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaError), open_media(tmp_path / name):
        pass


def test_pictures_larger_than_any_camera_s_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    video = VideoFormat(codec="ffv1", options={})
    path = make_clip(tmp_path / "huge.mkv", num_frames=2, size=(260, 260), video=video, has_audio=False).path
    data = path.read_bytes()
    # Matroska's PixelWidth (0xB0) and PixelHeight (0xBA), numbers of two bytes.
    for element in (0xB0, 0xBA):
        assert data.count(bytes([element, 0x82, 1, 4])) == 1
        data = data.replace(bytes([element, 0x82, 1, 4]), bytes([element, 0x82, 255, 255]))
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError):
        probe(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"


def test_pictures_that_turn_out_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "clip.mp4", num_frames=2).path
    monkeypatch.setattr(container, "MAX_PIXELS", 240 * 240)
    with open_media(path):
        pass
    monkeypatch.setattr(container, "MAX_PIXELS", 240 * 240 - 1)
    with pytest.raises(MediaError, match="240 x 240") as raised, open_media(path):
        pass
    assert "Scale" in raised.value.advice


def test_links_in_a_batch_folder_are_files_like_others_and_outputs_stay_in_theirs(tmp_path: Path) -> None:
    jobs, elsewhere = tmp_path / "jobs", tmp_path / "elsewhere"
    jobs.mkdir()
    elsewhere.mkdir()
    (elsewhere / "film.mp4").touch()
    (jobs / "a.mp4").symlink_to(elsewhere / "film.mp4")
    (jobs / "a.wav").touch()
    (jobs / "gone.mp4").symlink_to(elsewhere / "nowhere.mp4")
    (jobs / "gone.wav").touch()
    found, alone = Source(jobs, tmp_path / "out", None, Given()).find()
    assert [(job.video.name, job.output.parent) for job in found] == [("a.mp4", tmp_path / "out")]
    assert alone == ("gone.wav: no video goes with it",)
    (tmp_path / "same").symlink_to(jobs)
    with pytest.raises(ConfigError, match="output folder is the input folder"):
        Source(jobs, tmp_path / "same", None, Given()).find()
