"""Footage that breaks other tools: what must become of each clip is written beside it. Slow.

`python -m tests.test_hard_clips [NAME ...]` prints the table.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dubber import DubConfig, make_runtime
from dubber.dubbing import dub
from dubber.engine.execute import Run
from dubber.errors import DubberError
from dubber.media.probe import probe
from dubber.pipeline import plan_dub
from tests.conftest import REAL_CLIPS, real_clip
from tests.traps.measure import outside_db

SPEECH = "speech/english.flac"


@dataclass(frozen=True)
class Hard:
    """What must become of a clip.

    Attributes:
        says: In words.
        dubbed: Least and most share of frames whose mouth is re-made.
        exit_code: Of the run.
        passed: Least number of time ranges that pass through, each reported with its reason.
        settings: Overrides of the configuration.
        size: Upright (height, width); None: not looked at.
        suffix: Of the output.
    """

    says: str
    dubbed: tuple[float, float] = (0.95, 1.0)
    exit_code: int = 0
    passed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    suffix: str = ".mp4"


HARD = {
    # The person is known again after the graphics, which fill 18 % of it.
    "graphics_cuts.mov": Hard("dubbed where the face is; graphics pass through", (0.75, 0.85), passed=1),
    "debate_1080.mp4": Hard(
        "two people: the chosen one is dubbed", (0.3, 1.0), settings={"track.speaker": "1"}
    ),
    "two_small_faces.mp4": Hard("faces of 100 px are dubbed", (0.9, 1.0)),
    "face_leaves.mov": Hard("dubbed until the face leaves at a cut", (0.3, 0.7), passed=1),
    "face_enters.mov": Hard("dubbed from the cut on with which the face comes", (0.3, 0.7), passed=1),
    "no_face.mp4": Hard("refused: no face", exit_code=6),
    "rotated.mp4": Hard("turned upright; dubbed in the shots with a face", (0.05, 1.0)),
    "vfr_action.mp4": Hard("a face in an eighth of the frames, no sound", (0.02, 0.2), passed=1),
    "far_vertical.mp4": Hard("a whole person, upright video", (0.9, 1.0), size=(1920, 1080)),
    "tiny_face.mp4": Hard("refused: the face is too small", exit_code=6),
    "profile_1080.mp4": Hard("turned up to 41 degrees, coming nearer: dubbed", (0.95, 1.0)),
    "dark_many_faces.mp4": Hard("dark, cuts, several people: one of them is dubbed", (0.05, 0.9), passed=1),
    "burned_subtitles_1080.mp4": Hard("burnt-in subtitles stay sharp", (0.9, 1.0)),
    "microphone.mp4": Hard("the microphone before the mouth stays before it", (0.9, 1.0)),
    "vfr_700.mp4": Hard("variable rate: every frame keeps its time", (0.9, 1.0), size=(700, 700)),
    "debate_avi.avi": Hard(
        "MPEG-4 with AC-3 in AVI; two people", (0.5, 1.0), settings={"track.speaker": "1"}
    ),
    "archive_cuts.mp4": Hard("archive footage with cuts and small faces", (0.02, 0.9), passed=2),
    "webcam_moves_720.mp4": Hard("a webcam that moves", (0.9, 1.0)),
    "lean_1080.mp4": Hard("somebody leans forward", (0.9, 1.0)),
}


@dataclass(frozen=True)
class Found:
    """What became of a clip."""

    exit_code: int
    message: str = ""
    dubbed: float = 0.0
    passed: tuple[str, ...] = ()
    frames: tuple[int, int] = (0, 0)
    time_error_s: float = 0.0
    is_same_color: bool = False
    sizes: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    outside_db: float = 0.0
    seconds: float = 0.0


def dubbed(name: str, folder: Path) -> Found:
    """Dub a clip and compare."""
    hard, clip, speech = HARD[name], real_clip(f"hard/{name}"), real_clip(SPEECH)
    config = DubConfig().with_overrides({"length.mode": "silence", **hard.settings})
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu")
    output = folder / f"dubbed{hard.suffix}"
    try:
        result = dub(clip, speech, output, config=config, runtime=runtime)
    except DubberError as error:
        assert not output.exists()
        return Found(error.exit_code, str(error))
    plan = plan_dub(config, clip, speech, runtime=runtime)
    run = Run(plan.plan, runtime)
    source, made = probe(clip), probe(output)
    count = min(source.num_frames, made.num_frames)
    return Found(
        0,
        " ".join(result.warnings),
        result.num_dubbed_frames / result.num_frames,
        tuple(str(each) for each in result.passed_through),
        (source.num_frames, made.num_frames),
        float(np.abs(made.times_s_T[:count] - source.times_s_T[:count]).max()),
        made.color == source.color,
        (source.size, made.size),
        outside_db(clip, output, run.get(plan.rendered)),
        result.seconds,
    )


@pytest.mark.slow
@pytest.mark.skipif(not (REAL_CLIPS / "hard").is_dir(), reason="real clips are not here")
@pytest.mark.parametrize("name", sorted(HARD))
def test_hard_clip(tmp_path: Path, name: str) -> None:
    hard, found = HARD[name], dubbed(name, tmp_path)
    assert found.exit_code == hard.exit_code, found.message
    if hard.exit_code:
        return
    assert hard.dubbed[0] <= found.dubbed <= hard.dubbed[1]
    assert len(found.passed) >= hard.passed
    assert found.frames[0] == found.frames[1]
    assert found.time_error_s < 1e-3
    assert found.is_same_color
    assert found.sizes[0] == found.sizes[1]
    assert hard.size is None or found.sizes[1] == hard.size
    assert found.outside_db > 36


def main() -> None:
    """Print what became of each clip."""
    for name in sys.argv[1:] or HARD:
        hard = HARD[name]
        with tempfile.TemporaryDirectory() as folder:
            found = dubbed(name, Path(folder))
        low, high = hard.dubbed
        wanted = f"exit {hard.exit_code}" if hard.exit_code else f"{low:.0%}-{high:.0%}"
        cells = [
            name,
            hard.says,
            str(found.exit_code),
            f"{found.dubbed:.0%} ({wanted})",
            str(len(found.passed)),
            "{} -> {}".format(*found.frames),
            f"{found.time_error_s * 1e3:.3f} ms",
            str(found.is_same_color),
            f"{found.outside_db:.1f} dB",
            f"{found.seconds:.0f} s",
            found.message,
        ]
        print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
