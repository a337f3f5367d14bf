"""Where the optional trackers' files are looked for, and what is said when they are not there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from dubber.errors import WeightsError
from dubber.tracking.backends import _BACKENDS, TrackerName, make_tracker, model_files
from dubber.tracking.mediapipe_tasks import _tiles
from tests.conftest import real_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has nothing."""
    for name in ("DUBBER_INSIGHTFACE_DIR", "DUBBER_FACE_LANDMARKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DUBBER_MODELS", str(tmp_path / "models"))
    return tmp_path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_the_table_has_all_names() -> None:
    assert set(_BACKENDS) == set(get_args(TrackerName))


def test_the_default_needs_no_files() -> None:
    assert model_files("mediapipe") == ()


def test_naming_trackers_loads_nothing_heavy() -> None:
    heavy = "{'cv2', 'mediapipe', 'numpy', 'onnxruntime'}"
    code = f"import dubber.tracking.backends, sys; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("insightface", ("det_10g.onnx", "w600k_r50.onnx", "non-commercial", "DUBBER_INSIGHTFACE_DIR")),
        ("mediapipe-tasks", ("face_landmarker.task", "Apache-2.0", "DUBBER_FACE_LANDMARKER")),
    ],
)
def test_what_is_missing_is_said(home: Path, name: TrackerName, words: tuple[str, ...]) -> None:
    with pytest.raises(WeightsError) as raised:
        make_tracker(name, look_side_px=640)
    text = str(raised.value)
    assert all(word in text for word in (*words, "dubber weights fetch", str(home / "models"))), text


def test_fetched_models_come_before_the_librarys_and_a_named_folder_before_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = home / ".insightface" / "models" / "buffalo_l"
    touch(library / "det_10g.onnx", library / "w600k_r50.onnx", library / "1k3d68.onnx")
    assert model_files("insightface") == (library / "det_10g.onnx", library / "w600k_r50.onnx")
    fetched = home / "models" / "insightface-buffalo_s"
    touch(fetched / "det_500m.onnx", fetched / "w600k_mbf.onnx")
    assert model_files("insightface") == (fetched / "det_500m.onnx", fetched / "w600k_mbf.onnx")
    named = home / "mine"
    touch(named / "scrfd_500m.onnx", named / "scrfd_500m_bnkps.onnx")
    monkeypatch.setenv("DUBBER_INSIGHTFACE_DIR", str(named))
    assert model_files("insightface") == (named / "scrfd_500m_bnkps.onnx",)


def test_a_named_folder_without_models_is_not_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(home / ".insightface" / "models" / "buffalo_l" / "det_10g.onnx")
    monkeypatch.setenv("DUBBER_INSIGHTFACE_DIR", str(home / "empty"))
    with pytest.raises(WeightsError) as raised:
        model_files("insightface")
    assert raised.value.where == str(home / "empty")


def test_a_bundle_that_is_none_is_refused(home: Path) -> None:
    text, archive, hollow = home / "a.task", home / "b.task", home / "c.task"
    text.write_text("no bundle")
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("other.tflite", b"")
    with zipfile.ZipFile(hollow, "w") as out:
        out.writestr("face_detector.tflite", b"no network")
    for path in (text, archive, hollow):
        with pytest.raises(WeightsError, match="not the one that the catalogue names"):
            make_tracker("mediapipe-tasks", look_side_px=640, models=(path,))
    with pytest.raises(WeightsError, match="cannot be read"):
        make_tracker("mediapipe-tasks", look_side_px=640, models=(home / "absent.task",))


def test_a_bundle_that_was_tampered_with_is_refused(home: Path) -> None:
    """MediaPipe itself would crash on some of these."""
    packed = bytearray(real_model("face_landmarker_v2_with_blendshapes.task").read_bytes())
    packed[2000] ^= 1
    changed = home / "e.task"
    changed.write_bytes(packed)
    with pytest.raises(WeightsError, match="sha256"):
        make_tracker("mediapipe-tasks", look_side_px=640, models=(changed,))


@pytest.mark.parametrize("size", [(480, 640), (640, 360), (64, 64), (1, 640)])
def test_tiles_cover_the_picture_and_hold_each_face_whole(size: tuple[int, int]) -> None:
    height, width = size
    for share in (1, 1 / 2, 1 / 3):
        side = round(share * max(size))
        tiles = [(x, y) for x, y, length in _tiles(height, width) if length == side]
        assert all(0 <= x <= max(width - side, 0) and 0 <= y <= max(height - side, 0) for x, y in tiles)
        face = side // 2 - 1
        # A tile for each row and each column of them: both may be looked at on their own.
        for starts, length in (({x for x, _ in tiles}, width), ({y for _, y in tiles}, height)):
            for first in range(max(length - face, 1)):
                assert any(start <= first and first + face <= start + side for start in starts)
        assert len(tiles) == len({x for x, _ in tiles}) * len({y for _, y in tiles})
