"""What became of a trap: the output beside its source, stream by stream, frame by frame, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from dubber import DubConfig, DubResult, dub
from dubber.engine.execute import Run
from dubber.engine.stage import Runtime
from dubber.errors import DubberError
from dubber.media.probe import probe
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.pipeline import plan_dub
from dubber.types import ColorTags, Mouths
from tests.synth import talking_sound, write_wav
from tests.traps.make import NUM_FRAMES, Trap

GROWTH, MARGIN_PX = 0.25, 8
"""How far beyond the landmarks' box the compositor moves the jaw; see `dubber.stages.compositor`."""


@dataclass(frozen=True)
class Outcome:
    """A run and its result.

    Attributes:
        exit_code: 0, or that of the error.
        message: Of the error, or the warnings.
        frames: Of source and output.
        time_error_s: Largest difference of a frame's time from its source's, each from the first frame.
        is_same_color: Whether range, matrix, primaries and transfer are the source's.
        pixel_formats: Of source and output.
        is_same_shape: Whether upright size and pixel aspect are the source's.
        dubbed_share: Share of frames whose mouth was re-made.
        streams: How many of each kind the output has.
        outside_db: PSNR of luma outside the mouths, of the frame that is worst.
    """

    exit_code: int
    message: str = ""
    frames: tuple[int, int] = (0, 0)
    time_error_s: float = 0.0
    is_same_color: bool = False
    pixel_formats: tuple[str, str] = ("", "")
    is_same_shape: bool = False
    dubbed_share: float = 0.0
    streams: dict[str, int] = field(default_factory=dict)
    outside_db: float = 0.0


def run_trap(trap: Trap, folder: Path, runtime: Runtime) -> Outcome:
    """Make a trap, dub it, and compare."""
    video = trap.make(folder)
    seconds = NUM_FRAMES / 25
    speech = (
        trap.speech(folder) if trap.speech else write_wav(folder / "line.wav", talking_sound(seconds, seed=3))
    )
    config = DubConfig().with_overrides({"length.mode": "silence", **trap.settings})
    output = folder / f"dubbed{trap.suffix or video.suffix}"
    try:
        result = dub(video, speech, output, config=config, runtime=runtime)
    except DubberError as error:
        assert not output.exists()
        return Outcome(error.exit_code, str(error))
    return _compared(result, video, speech, config, runtime)


def _compared(result: DubResult, video: Path, speech: Path, config: DubConfig, runtime: Runtime) -> Outcome:
    assert result.output is not None
    plan = plan_dub(config, video, speech, runtime=runtime)
    source, made = Run(plan.plan, runtime).get(plan.clip), probe(result.output)
    mouths = Run(plan.plan, runtime).get(plan.rendered)
    count = min(source.num_frames, made.num_frames)
    return Outcome(
        exit_code=0,
        message=" ".join(result.warnings),
        frames=(source.num_frames, made.num_frames),
        time_error_s=float(np.abs(made.times_s_T[:count] - source.times_s_T[:count]).max()),
        is_same_color=_told(made.color) == _told(source.color),
        pixel_formats=(source.pixel_format, made.pixel_format),
        is_same_shape=(made.size, made.pixel_aspect) == (source.size, source.pixel_aspect),
        dubbed_share=result.num_dubbed_frames / result.num_frames,
        streams=streams_of(result.output),
        outside_db=outside_db(video, result.output, mouths),
    )


def _told(color: ColorTags) -> ColorTags:
    """Tags in which a range that is not told is the limited one, as players take it; x265 always tells it."""
    return replace(color, range=color.range or 1)


def streams_of(path: Path) -> dict[str, int]:
    """How many streams of each kind a file has, and chapters."""
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        return {kind: kinds.count(kind) for kind in kinds} | {"chapters": len(container.chapters())}


def outside_db(source: Path, made: Path, mouths: Mouths) -> float:
    """Least PSNR of a frame's luma outside the mouth's box, dB; of whole frames where nothing was made."""
    worst = np.inf
    for n, (before, after) in enumerate(zip(_lumas(source), _lumas(made), strict=True)):
        is_outside = np.ones(before.shape, np.bool_)
        if mouths.has_patch_N[n]:
            is_outside[mouth_box(mouths, n)] = False
        height, width = before.shape
        error = float(np.square(before - after[:height, :width])[is_outside].mean())
        worst = min(worst, -10 * np.log10(max(error, 1e-12)))
    return float(worst)


def mouth_box(mouths: Mouths, n: int) -> tuple[slice, slice]:
    """The box of a frame in which pixels may change."""
    points = np.concatenate([mouths.landmarks_NM2[n], mouths.source_landmarks_NM2[n]])
    points = apply_similarity(invert_similarity(mouths.similarity_N23[n]), points)
    low, high = points.min(0), points.max(0)
    margin = GROWTH * (high - low) + MARGIN_PX
    low, high = np.maximum(np.floor(low - margin * [1, 0]), 0).astype(int), np.ceil(high + margin).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _lumas(path: Path) -> Iterator[NDArray[np.float64]]:
    """Luma in 0..1 at the file's own depth, upright, as a decoder gives it: no code of ours in between."""
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            bits = picture.format.components[0].bits
            plane = picture.planes[0]
            samples = np.frombuffer(memoryview(plane), np.uint8 if bits == 8 else np.dtype("<u2"))
            luma = samples.reshape(plane.height, -1)[:, : plane.width] / (2**bits - 1)
            yield np.rot90(luma, picture.rotation // 90)
