"""The source beside the dub, as a video: each output frame next to the source picture it was made from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.intermediates.drawing import draw_text, text_width
from dubber.media.flow import FrameStream
from dubber.media.frame import Frame, even_box
from dubber.media.reader import probe, read_frames
from dubber.output import container_of, publish
from dubber.pipeline import DubPlan
from dubber.stages.blend import Blend
from dubber.stages.remux import Remux
from dubber.types import UInt8

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
    clip, timeline = run.get(dub_plan.clip), run.get(dub_plan.timeline)
    finished = probe(dubbed.file.path)
    height, width = (side + side % 2 for side in finished.size)
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        context = StageContext(runtime, Path(folder), Path(folder), "side by side", progress)
        # A dub with the source's own pixels is the source as the dub shows it: in its order, half-way
        # pictures and all.
        own = dataclasses.replace(mouths, patches=(), is_own_pixels=True)
        source = Blend(dub_plan.config.blend).run(
            context, run.get(dub_plan.video), clip, run.get(dub_plan.track), run.get(dub_plan.retime), own
        )

        def pairs() -> Generator[Frame]:
            with (
                closing(source.open()) as before,
                closing(read_frames(dubbed.file.path, finished)) as after,
            ):
                for left, right in zip(before, after, strict=True):
                    yield _beside(left, right, (height, width))

        remux = dub_plan.config.remux.model_copy(update={"container": container_of(output)})
        made = Remux(remux).run(
            context,
            FrameStream(dubbed.is_dubbed_N, pairs),
            run.get(dub_plan.sound),
            dataclasses.replace(clip, size=(height, 2 * width)),
            timeline,
        )
        publish(made.file.path, output, is_overwrite=is_overwrite)


def _beside(left: Frame, right: Frame, size: tuple[int, int]) -> Frame:
    """One frame of twice the width, with a name in the upper left corner of either half."""
    height, width = size
    planes = []
    for plane, other in zip(left.planes, right.planes, strict=True):
        half = size if plane is left.y else (height // 2, width // 2)
        planes.append(np.concatenate([_grown(plane, half), _grown(other, half)], axis=1))
    frame = dataclasses.replace(left, y=planes[0], u=planes[1], v=planes[2], coded=None)
    letter = max(8, round(height * _TEXT_SHARE))
    for name, x in zip(NAMES, (0, width), strict=True):
        box = even_box((x, 0, x + text_width(name, letter) + 2 * letter, 3 * letter), frame.size)
        rgb = frame.rgb_box(box)
        draw_text(rgb, name, (letter, letter), letter)
        frame = frame.replace_box(box, rgb, np.ones(rgb.shape[:2], np.bool_))
    return frame


def _grown(plane: UInt8, size: tuple[int, int]) -> UInt8:
    """Repeat the last row and column where an encoder made the dub a pixel larger than the source."""
    return np.pad(
        plane, [(0, want - have) for want, have in zip(size, plane.shape, strict=True)], mode="edge"
    )
