"""Wrong input: the exit code, a message that names the file and says what to do, nothing left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig, dub, make_runtime
from dubber.engine.weights import default_weights_dir
from dubber.errors import DubberError
from tests.synth import make_clip, make_wall_clip, talking_sound, write_wav


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("good")
    return make_clip(folder / "talk.mp4", num_frames=15).path, write_wav(
        folder / "line.wav", talking_sound(0.6)
    )


def failure(video: Path, audio: Path, folder: Path, **options: object) -> DubberError:
    """The error of a run that must fail, after checking that it left nothing under the output's name."""
    output = folder / "output" / "dubbed.mp4"
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu", **options)  # type: ignore[arg-type]
    with pytest.raises(DubberError) as caught:
        dub(video, audio, output, runtime=runtime)
    assert list(output.parent.iterdir()) == []
    assert not list((folder / "cache").glob("tmp/*"))
    assert caught.value.advice
    return caught.value


def test_missing_video(good: tuple[Path, Path], tmp_path: Path) -> None:
    error = failure(tmp_path / "no 'such' vidéo.mp4", good[1], tmp_path)
    assert error.exit_code == 3
    assert "no 'such' vidéo.mp4" in error.where


def test_missing_audio(good: tuple[Path, Path], tmp_path: Path) -> None:
    error = failure(good[0], tmp_path / "absent.wav", tmp_path)
    assert (error.exit_code, Path(error.where).name) == (3, "absent.wav")


def test_no_video_stream(good: tuple[Path, Path], tmp_path: Path) -> None:
    error = failure(good[1], good[1], tmp_path)
    assert (error.exit_code, Path(error.where).name) == (3, "line.wav")


def test_no_face(good: tuple[Path, Path], tmp_path: Path) -> None:
    error = failure(make_wall_clip(tmp_path / "wall.mp4").path, good[1], tmp_path)
    assert error.exit_code == 6


@pytest.mark.parametrize(
    "samples", [np.zeros(16000, np.float32), np.zeros(0, np.float32)], ids=["silent", "empty"]
)
def test_speech_without_sound(good: tuple[Path, Path], tmp_path: Path, samples: np.ndarray) -> None:
    error = failure(good[0], write_wav(tmp_path / "nothing.wav", samples), tmp_path)
    assert (error.exit_code, Path(error.where).name) == (3, "nothing.wav")


def test_video_without_sound_as_speech(good: tuple[Path, Path], tmp_path: Path) -> None:
    mute = make_clip(tmp_path / "mute.mp4", num_frames=5, has_audio=False).path
    error = failure(good[0], mute, tmp_path)
    assert (error.exit_code, Path(error.where).name) == (3, "mute.mp4")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_video(good: tuple[Path, Path], tmp_path: Path, share: float) -> None:
    data = good[0].read_bytes()
    broken = tmp_path / "truncated.mp4"
    broken.write_bytes(data[: int(len(data) * share)])
    error = failure(broken, good[1], tmp_path)
    assert (error.exit_code, Path(error.where).name) == (3, "truncated.mp4")


def test_text_that_claims_to_be_video(good: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video\n" * 100)
    assert failure(tmp_path / "notes.mp4", good[1], tmp_path).exit_code == 3


@pytest.mark.parametrize("damage", ["absent", "changed", "no manifest"])
@pytest.mark.parametrize("name", ["face_model", "expression_conv"])
def test_wrong_weights(good: tuple[Path, Path], tmp_path: Path, damage: str, name: str) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(default_weights_dir(), weights)
    file = weights / f"{name}.safetensors"
    if damage == "absent":
        file.unlink()
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"\x00\x01")
    else:
        (weights / "manifest.toml").unlink()
    error = failure(good[0], good[1], tmp_path, weights_dir=weights)
    assert error.exit_code == 4
    assert str(weights) in error.where
    assert not (tmp_path / "cache" / "entries").exists(), "weights are checked before any work"


def test_output_folder_that_cannot_be_written(good: tuple[Path, Path], tmp_path: Path) -> None:
    """A folder that nobody may write to, not even root."""
    target = Path("/proc/dubbed.mp4") if Path("/proc").is_dir() else tmp_path / "readonly" / "dubbed.mp4"
    if target.parent.name == "readonly":
        target.parent.mkdir(mode=0o500)
        if os.access(target.parent, os.W_OK):
            pytest.skip("this user may write everywhere")
    with pytest.raises(DubberError) as caught:
        dub(*good, target, runtime=make_runtime(cache_dir=tmp_path / "cache", device="cpu"))
    assert caught.value.exit_code == 2
    assert str(target.parent) in caught.value.where
    assert "folder you may write to" in caught.value.advice


def test_cache_folder_that_cannot_be_written(good: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    with pytest.raises(DubberError) as caught:
        dub(*good, tmp_path / "o.mp4", runtime=make_runtime(cache_dir=tmp_path / "a file", device="cpu"))
    assert caught.value.exit_code == 2
    assert "--cache" in caught.value.advice


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("o.mp4", {"remux.vcodec": "nonsense"}),
        ("o.mp4", {"remux.preset": "nonsense"}),
        ("o.avi", {"remux.vcodec": "libx264"}),
        ("o.webm", {"remux.vcodec": "libx264"}),
        ("o.mp4", {"remux.vcodec": "ffv1"}),
    ],
    ids=["encoder", "preset", "avi", "webm", "ffv1"],
)
def test_an_encoding_that_cannot_be_is_refused_before_the_work(
    good: tuple[Path, Path], tmp_path: Path, name: str, settings: dict[str, str]
) -> None:
    runtime = make_runtime(cache_dir=tmp_path / "cache", device="cpu")
    with pytest.raises(DubberError) as caught:
        dub(*good, tmp_path / name, config=DubConfig().with_overrides(settings), runtime=runtime)
    assert caught.value.exit_code == 2
    assert not list((tmp_path / "cache").glob("entries/*"))
    assert not (tmp_path / name).exists()
