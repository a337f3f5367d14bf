"""The dub with what was seen and wanted drawn into it, to find out why a frame is as it is.

Index letters: N output frames, F steps of 10 ms, M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.evaluation.coverage import coverage
from dubber.evaluation.finished import DubbedPerson, FinishedDub, finished_dub
from dubber.intermediates.companion import companion_context, even_size, grown, publish_companion
from dubber.intermediates.drawing import (
    MESH_COLOR,
    OWN_COLOR,
    WANTED_COLOR,
    draw_outline,
    draw_points,
    draw_text,
)
from dubber.intermediates.panel import Panel, SpeakerLine
from dubber.media.audio import open_speech
from dubber.media.color import rgb_to_yuv420
from dubber.media.frame import Frame, even_box
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.ops.landmarks import mouth_opening
from dubber.ops.mfcc import hop_power
from dubber.pipeline import DubPlan
from dubber.stages.blend import BlendParams
from dubber.stages.compositor import Compositor
from dubber.stages.mouth_geometry import shown_halfway
from dubber.stages.mouth_stream import Part, parts
from dubber.types import Float32, UInt8

NAME = "overlay"
"""What progress is told."""

_LOUD = 99.0
"""Percentile of loudness, and of openings, that fills the strip."""

_MARGIN = 0.08
"""Part of a face's box that is drawn upon around it."""


def write_overlay(
    dub_plan: DubPlan, runtime: Runtime, path: Path, *, progress: Progress, is_overwrite: bool
) -> None:
    """Write the video: the finished dub, marked, above a panel of numbers, with the dub's times and sound.

    Each tracked face has its box and the speaker's number; where its mouth was made, the source frame's mouth
    and jaw (orange), the wanted ones (green), and the line along which the patch is half visible (white). The
    panel has the frame's number, its time and the source frame it was made from; for each speaker what was
    done, the voice around now with the wanted opening (green), and a bar of that opening, with the source's
    as a line (orange).

    Args:
        dub_plan: A plan that was run.
        runtime: Names the cache.
        path: Its suffix names the container; encoded as the dub was.
        progress: Is told of each frame, as "overlay".
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists.
        ConfigError: The encoder does not fit the container.
        DubberError: A file cannot be read or written; nothing is left under the output's name.
    """
    dub = finished_dub(dub_plan, runtime)
    finished = probe(dub.file.path)
    height, width = even_size(finished.size)
    is_halfway_N = shown_halfway(dub.people[0].track, dub.retime)
    speakers = [_speaker_line(dub, number) for number in range(len(dub.people))]
    panel = Panel((height, width), dub.times_s_N, dub.retime.source_index_N, is_halfway_N, speakers)
    marks = [_Marks(dub, number, panel.letter_px) for number in range(len(dub.people))]

    def drawn() -> Generator[Frame]:
        with closing(read_frames(dub.file.path, finished)) as frames:
            for n, frame in enumerate(frames):
                for of_person in marks:
                    frame = of_person.draw(n, frame)
                yield _above(frame, panel.draw(n), (height, width))

    with companion_context(runtime, NAME, progress) as context:
        size = (height + panel.height, width)
        publish_companion(context, dub.run, dub_plan, drawn, size, path, is_overwrite=is_overwrite)


def _above(frame: Frame, panel: UInt8, size: tuple[int, int]) -> Frame:
    """The frame, grown to an even size, with the panel under it."""
    halves = (size[0] // 2, size[1] // 2)
    y, u, v = (
        np.concatenate([grown(plane, size if plane is frame.y else halves), below])
        for plane, below in zip(frame.planes, rgb_to_yuv420(panel, frame.color), strict=True)
    )
    return replace(frame, y=y, u=u, v=v, coded=None)


def _speaker_line(dub: FinishedDub, number: int) -> SpeakerLine:
    """The curves of one speaker, each in 0..1."""
    mouths = dub.people[number].mouths
    openings = [mouth_opening(points) for points in (mouths.landmarks_NM2, mouths.source_landmarks_NM2)]
    shown = np.concatenate([opening_N[mouths.has_patch_N] for opening_N in openings])
    widest = max(float(np.percentile(shown, _LOUD)), 1e-6) if len(shown) else 1.0
    wanted_N, own_N = (np.clip(opening_N / widest, 0, 1).astype(np.float32) for opening_N in openings)
    with open_speech(dub.run.get(dub.plan.performances[number].speech)) as samples_S:
        loudness_F = np.sqrt(hop_power(samples_S))
    loudest = max(float(np.percentile(loudness_F, _LOUD)), 1e-6) if len(loudness_F) else 1.0
    return SpeakerLine(
        stretches=coverage(dub.run, dub.plan, number),
        loudness_F=np.clip(loudness_F / loudest, 0, 1).astype(np.float32),
        wanted_N=wanted_N,
        own_N=own_N,
        has_mouth_N=mouths.has_patch_N,
    )


class _Marks:
    """Draws what is known of one person into frames, which come in order."""

    def __init__(self, dub: FinishedDub, number: int, letter_px: int) -> None:
        self._retime, self._params = dub.retime, dub.plan.config.blend
        self._person, self._letter_px = dub.people[number], letter_px
        self._name = str(number + 1)
        self._upcoming = parts(len(dub.times_s_N))
        self._geometry = _PartGeometry(self._upcoming[0], dub, self._person, self._params)
        self._dub = dub

    def draw(self, n: int, frame: Frame) -> Frame:
        """The frame with the marks; where the person is not seen it stays as it is."""
        while self._upcoming[0].stop <= n:
            del self._upcoming[0]
            self._geometry = _PartGeometry(self._upcoming[0], self._dub, self._person, self._params)
        track, index = self._person.track, int(self._retime.source_index_N[n])
        if track.scores_T[index] <= 0:
            return frame
        box_4 = track.boxes_T4[index]
        margin_2 = (box_4[2:] - box_4[:2]) * _MARGIN + 2 * self._letter_px
        try:
            x0, y0, x1, y1 = np.concatenate([box_4[:2] - margin_2, box_4[2:] + margin_2]).tolist()
            box = even_box((x0, y0, x1, y1), frame.size)
        except ValueError:  # the face has left the picture
            return frame
        rgb = frame.rgb_box(box)
        corner_2 = np.array(box[:2], np.float32)
        self._draw_box(rgb, box_4 - np.tile(corner_2, 2))
        if self._person.mouths.has_patch_N[n]:
            self._geometry.draw(rgb, n, corner_2, frame.size)
        return frame.replace_box(box, rgb, np.ones(rgb.shape[:2], np.bool_))

    def _draw_box(self, rgb: UInt8, box_4: Float32) -> None:
        x0, y0, x1, y1 = (round(float(side)) for side in box_4)
        cv2.rectangle(rgb, (x0, y0), (x1, y1), MESH_COLOR, max(1, self._letter_px // 8), cv2.LINE_AA)
        draw_text(rgb, self._name, (x0 + self._letter_px // 2, y0 + self._letter_px // 2), self._letter_px)


class _PartGeometry:
    """Where mouths and masks are in some consecutive frames; long dubs are drawn part by part."""

    def __init__(self, part: Part, dub: FinishedDub, person: DubbedPerson, params: BlendParams) -> None:
        self._first = part.seen.start
        self._mouths = part.mouths(person.mouths)
        self._compositor = Compositor(params, person.track, part.retime(dub.retime), self._mouths)

    def draw(self, rgb: UInt8, n: int, corner_2: Float32, frame_size: tuple[int, int]) -> None:
        """Draw mouth, jaw and mask into a part of the frame whose upper left corner is given."""
        n -= self._first
        to_display_23 = invert_similarity(self._mouths.similarity_N23[n])
        (x, y), mask_HW = self._compositor.mask(n, frame_size)
        draw_outline(rgb, (x - int(corner_2[0]), y - int(corner_2[1])), mask_HW)
        for points_NM2, color in (
            (self._mouths.source_landmarks_NM2, OWN_COLOR),
            (self._mouths.landmarks_NM2, WANTED_COLOR),
        ):
            draw_points(rgb, apply_similarity(to_display_23, points_NM2[n]) - corner_2, color)
