"""The source beside the dub, as a video: each output frame next to the source picture it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.intermediates.companion import companion_context, even_size, grown, publish_companion
from dubber.intermediates.drawing import draw_text, text_width
from dubber.media.frame import Frame, even_box
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.pipeline import DubPlan
from dubber.stages.blend import Blend

NAMES = ("source", "dubbed")
"""What is written into the two halves."""

_TEXT_SHARE = 1 / 40
"""Height of a capital letter as part of the picture's height."""


def write_side_by_side(
    dub_plan: DubPlan, runtime: Runtime, output: Path, *, progress: Progress, is_overwrite: bool
) -> None:
    """Write the video: the source on the left, the finished dub on the right, with the dub's times and sound.

    Args:
        dub_plan: A plan that was run.
        runtime: Names the cache.
        output: Its suffix names the container; encoded as the dub was.
        progress: Is told of each frame, as "side by side".
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists.
        ConfigError: The encoder does not fit the container.
        DubberError: A file cannot be read or written; nothing is left under the output's name.
    """
    run = Run(dub_plan.plan, runtime)
    dubbed, mouths = run.get(dub_plan.dubbed), run.get(dub_plan.rendered)
    finished = probe(dubbed.file.path)
    height, width = even_size(finished.size)
    with companion_context(runtime, "side by side", progress) as context:
        # A dub with the source's own pixels is the source as the dub shows it: in its order, half-way
        # pictures and all.
        own = dataclasses.replace(mouths, patches=(), is_own_pixels=True)
        shown = (dub_plan.video, dub_plan.clip, dub_plan.track, dub_plan.retime)
        source = Blend(dub_plan.config.blend).run(context, *(run.get(ref) for ref in shown), own)

        def pairs() -> Generator[Frame]:
            with (
                closing(source.open()) as before,
                closing(read_frames(dubbed.file.path, finished)) as after,
            ):
                for left, right in zip(before, after, strict=True):
                    yield _beside(left, right, (height, width))

        size = (height, 2 * width)
        publish_companion(context, run, dub_plan, pairs, size, output, is_overwrite=is_overwrite)


def _beside(left: Frame, right: Frame, size: tuple[int, int]) -> Frame:
    """One frame of twice the width, with a name in the upper left corner of either half."""
    height, width = size
    planes = []
    for plane, other in zip(left.planes, right.planes, strict=True):
        half = size if plane is left.y else (height // 2, width // 2)
        planes.append(np.concatenate([grown(plane, half), grown(other, half)], axis=1))
    frame = dataclasses.replace(left, y=planes[0], u=planes[1], v=planes[2], coded=None)
    letter = max(8, round(height * _TEXT_SHARE))
    for name, x in zip(NAMES, (0, width), strict=True):
        box = even_box((x, 0, x + text_width(name, letter) + 2 * letter, 3 * letter), frame.size)
        rgb = frame.rgb_box(box)
        draw_text(rgb, name, (letter, letter), letter)
        frame = frame.replace_box(box, rgb, np.ones(rgb.shape[:2], np.bool_))
    return frame
