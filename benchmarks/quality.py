"""How the bounds of `dubber.evaluation.quality_verdicts` were found: good dubs, filmed mouths, spoiled dubs.

    python -m benchmarks.quality CLIP... --line OTHER_SPEECH [--cache FOLDER]

Each clip, with its own sound, is dubbed with that and with another's speech; then badly on purpose: 200 ms
late, and without listening. Of the first dub the pictures are spoiled: blurred, with an edge, flickering.
Prints the page's table: median, lowest and highest over the clips.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dubber.config import DubConfig
from dubber.dubbing import make_runtime
from dubber.engine.device import library_threads
from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.evaluation.finished import FinishedDub, finished_dub
from dubber.evaluation.measures import Measures
from dubber.evaluation.page import number, table
from dubber.evaluation.pairs import MaskedPair
from dubber.evaluation.pictures import Detail, Flicker, Seam
from dubber.evaluation.quality import measure_quality, sync_measures
from dubber.evaluation.quality_moments import ChosenFrames, chosen_frames, seen_frames
from dubber.evaluation.quality_sync import av_offset, openings
from dubber.evaluation.quality_verdicts import SCALES
from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.pipeline import DubPlan, plan_dub
from dubber.types import UInt8

COLUMNS = {
    "sync": ("voice_correlation", "{:.2f}"),
    "offset, ms": ("voice_late_ms", "{:+.0f}"),
    "intent": ("wanted_correlation", "{:.2f}"),
    "sharpness": ("sharpness_ratio", "{:.2f}"),
    "seam": ("soft_seam_index", "{:.2f}"),
    "flicker": ("soft_flicker_index", "{:.2f}"),
    "inside": ("inside_unrest_ratio", "{:.2f}"),
    "untouched, dB": ("untouched_psnr_db", "{:.0f}"),
}

DUBS: dict[str, tuple[bool, dict[str, Any]]] = {
    "dub, own speech": (True, {}),
    "dub, another's speech": (False, {}),
    "200 ms late": (True, {"translate.av_offset_ms": 200.0}),
    "another's speech, not listened to": (False, {"translate.translator": "neutral"}),
}
"""Whether the speech is the clip's own, and settings."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--line", type=Path, required=True, help="Speech of somebody else.")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    runtime = make_runtime(cache_dir=options.cache, device="cpu")
    found: dict[str, list[Measures]] = defaultdict(list)
    for clip in options.clips:
        for name, measures in of_clip(clip, options.line, runtime):
            found[name].append(measures)
            print(
                clip.stem,
                name,
                {key: value and round(value, 2) for key, value in measures.items()},
                flush=True,
            )
    rows = [
        [name, *(_over_clips(measured, *column) for column in COLUMNS.values())]
        for name, measured in found.items()
    ]
    print(table([f"{len(options.clips)} clips", *COLUMNS], rows))


def of_clip(clip: Path, line: Path, runtime: Runtime) -> Iterator[tuple[str, Measures]]:
    """Everything that is measured of a clip, by name."""
    plans: dict[str, DubPlan] = {}
    for name, (is_own, settings) in DUBS.items():
        config = DubConfig().with_overrides({"length.mode": "cut_off", **settings})
        plans[name] = plan_dub(config, clip, clip if is_own else line, runtime=runtime)
        Run(plans[name].plan, runtime).get(plans[name].dubbed)
    own, other = (finished_dub(plans[name], runtime) for name in list(DUBS)[:2])
    yield "filmed, own voice", filmed(own, runtime)
    yield "filmed, another's voice", filmed(other, runtime)
    for name, plan in plans.items():
        figures = measure_quality(plan, runtime, SilentProgress()).figures
        yield name, dict(zip(SCALES, (figure.value for figure in figures), strict=True))
    for name, spoil in SPOILERS.items():
        yield name, spoiled(own, spoil)


def filmed(dub: FinishedDub, runtime: Runtime) -> Measures:
    """How the filmed mouth goes with the dub's voice."""
    track, index_N = dub.people[0].track, dub.retime.source_index_N
    shown_NM2 = apply_similarity(
        track.similarity_T23[index_N], track.landmarks_TL3[index_N][:, MOUTH_JAW, :2]
    )
    curves = openings(dub, 0, mouth_opening(shown_NM2), track.is_usable_T[index_N], runtime)
    return {**sync_measures(av_offset([curves])), "wanted_correlation": None}


def spoiled(dub: FinishedDub, spoil: Callable[[MaskedPair], UInt8]) -> Measures:
    """What is measured of a dub whose mouths are drawn anew."""
    is_compared_N = chosen_frames(dub).is_compared_N
    chosen = ChosenFrames(is_compared_N, is_compared_N, is_compared_N)
    measures = (Detail(), Seam(), Flicker())
    with library_threads(1):
        for frame in seen_frames(dub, chosen):
            for face in frame.faces:
                if face.pair is not None:
                    pair = replace(face.pair, made=spoil(face.pair))
                    for measure in measures:
                        measure.add(pair)
    return {key: value for measure in measures for key, value in measure.measures().items()}


def _drawn(pair: MaskedPair, change: Callable[[UInt8], UInt8]) -> UInt8:
    """The made picture, changed where its mask is."""
    (x, y), mask_hw = pair.shown_mask
    levels = np.zeros(pair.made.shape[:2], np.uint8)
    height, width = levels.shape
    rows, columns = (
        slice(max(y, 0), min(y + mask_hw.shape[0], height)),
        slice(max(x, 0), min(x + mask_hw.shape[1], width)),
    )
    levels[rows, columns] = (
        mask_hw[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x] > 0.5
    ) * 1
    return np.where(levels[..., None] > 0, change(pair.made), pair.made)


def _blurred(picture: UInt8) -> UInt8:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def _brighter(picture: UInt8, levels: int) -> UInt8:
    return np.clip(picture.astype(np.int16) + levels, 0, 255).astype(np.uint8)


SPOILERS: dict[str, Callable[[MaskedPair], UInt8]] = {
    "blurred (sigma 1.5 px)": lambda pair: _drawn(pair, _blurred),
    "edge (8 levels)": lambda pair: _drawn(pair, lambda made: _brighter(made, 8)),
    "flicker (4 levels)": lambda pair: _drawn(pair, lambda made: _brighter(made, 4 * (pair.n % 2))),
}
"""What is done to the made mouths."""


def _over_clips(measured: list[Measures], key: str, form: str) -> str:
    values = [value for measures in measured if (value := measures.get(key)) is not None]
    if not values:
        return number(None, form)
    low, high = (form.format(bound) for bound in (min(values), max(values)))
    return f"{form.format(statistics.median(values))} ({low} … {high})"


if __name__ == "__main__":
    main()
