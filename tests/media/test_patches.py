from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber.errors import MediaError, StageError
from dubber.media.patches import PatchWriter, read_patches
from tests.media.clips import write_clip


def noise(count: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *size, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (51, 33)])
def test_patches_come_back_bit_for_bit(tmp_path: Path, size: tuple[int, int]) -> None:
    patches = noise(7, size)
    names = [tmp_path / "a.mkv", tmp_path / "none.mkv", tmp_path / "b é.mkv"]
    for path, part in zip(names, (patches[:4], patches[:0], patches[4:]), strict=True):
        with PatchWriter(path, size) as writer:
            for rgb in part:
                writer.write(rgb)
    np.testing.assert_array_equal(np.stack(list(read_patches(names))), patches)


def test_bytes_are_repeatable(tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        with PatchWriter(tmp_path / name, (64, 64)) as writer:
            for rgb in noise(3, (64, 64)):
                writer.write(rgb)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_wrong_patches_and_failures(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="patch is \\(64, 96\\)"),
        PatchWriter(tmp_path / "a.mkv", (64, 96)) as writer,
    ):
        writer.write(noise(1, (96, 64))[0])
    assert not list(tmp_path.iterdir())
    with pytest.raises(MediaError, match="no such file"):
        next(read_patches([tmp_path / "a.mkv"]))
    with pytest.raises(StageError, match="yuv420p"):
        next(read_patches([write_clip(tmp_path / "other.mkv", [0, 512, 1024])]))
