"""The pictures of a report: a small film of source and dub side by side, and moments to look at closely.

Source and dub are two halves of one film, so that nothing a browser does can put them out of step; below
each half is the mouth, upright and at the footage's own resolution.

Index letters: N output frames, n chosen ones, P people.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.media.frame import Frame, even_box
from dubber.media.preview import join_preview, open_preview, preview_frame, preview_size, write_preview_sound
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.ops.align import apply_similarity, invert_similarity, scale_similarity
from dubber.ops.warp import sample_patch
from dubber.pipeline import DubPlan
from dubber.stages.mouth_stream import ShownFootage
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Int64, Mouths, UInt8

MOST = (540, 720)
"""(height, width) of either half of the film at most; mouths have close-ups of their own."""

CLOSE_UP = (84, 168, 300, 312)
"""What a close-up shows, xyxy in px of the 384 crop: the mouth, wherever it goes, and some of the cheeks.

Source: 99.9 % of 41,000 tracked frames have their mouth in x 115..261 and y 189..303, see `MOUTH_WINDOW`.
"""

NUM_MOMENTS = 12
_MOMENT_WIDTH = 288
_MOST_CLOSE_UP_WIDTH = 480
_THUMBNAIL_PX = 192
_JPEG_QUALITY = 82
_NO_MOUTH = 40
"""Grey of a close-up where there is no mouth."""

_MARGIN_PX = 2
"""Around what a close-up shows: its outermost pixels are made of their neighbours too."""


@dataclass(frozen=True)
class FilmLayout:
    """Where the parts of the film's picture lie; all in its px, sides even.

    Attributes:
        half: (height, width) of the source's picture, and of the dub's right of it.
        close_up: (height, width) of the mouths below, left in its half each; (0, 0): there are none.
    """

    half: tuple[int, int]
    close_up: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the whole."""
        return self.half[0] + self.close_up[0], 2 * self.half[1]


@dataclass(frozen=True)
class Moment:
    """A mouth, before and after.

    Attributes:
        n: The output frame.
        time_s: When it is shown.
        size: (height, width) of the pictures.
        before: JPEG of the source.
        after: JPEG of the dub.
    """

    n: int
    time_s: float
    size: tuple[int, int]
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Pictures:
    """What was made.

    Attributes:
        film: MP4, with the dub's sound if it has any.
        layout: Its parts.
        source_sound: The source's sound in the output's time; None where it has none or time was changed.
        moments: To look at closely, in order; none where nothing was dubbed.
        thumbnail: JPEG of the dub.
    """

    film: Path
    layout: FilmLayout
    source_sound: Path | None
    moments: tuple[Moment, ...]
    thumbnail: bytes


def make_pictures(run: Run, dub_plan: DubPlan, folder: Path, progress: Progress) -> Pictures:
    """Go through source and dub once, together.

    Args:
        run: Has the plan's results.
        dub_plan: A plan that was run.
        folder: Where the files go.
        progress: Is told of each frame, as "report".

    Raises:
        DubberError: A file cannot be read or written.
    """
    clip, timeline = run.get(dub_plan.clip), run.get(dub_plan.timeline)
    speakers = [run.get(painting.rendered) for painting in dub_plan.paintings]
    has_patch_PN = np.stack([mouths.has_patch_N for mouths in speakers])
    silent_PN = np.stack([run.get(person.expression).is_silent_N for person in dub_plan.performances])
    layout = film_layout(preview_size(clip, MOST), speakers)
    close_ups = _CloseUps(speakers, looked_at(has_patch_PN, silent_PN))
    chosen_n = moments_of(has_patch_PN.any(axis=0), NUM_MOMENTS)
    poster = int(chosen_n[len(chosen_n) // 2]) if len(chosen_n) else timeline.num_frames // 2
    moments, thumbnail, pictures = [], b"", folder / "pictures.mp4"
    pts_N = (timeline.pts_N - timeline.pts_N[0]).tolist()
    progress.start("report", timeline.num_frames)
    with (
        open_preview(pictures, clip, timeline, layout.size) as writer,
        closing(_pairs(run, dub_plan)) as pairs,
    ):
        for n, pair in enumerate(pairs):
            writer.write(preview_frame(_composed(pair, n, layout, close_ups), pts_N[n]), pts_N[n])
            if n in chosen_n:
                moments.append(_moment(pair, n, float(timeline.times_s_N[n]), close_ups))
            if n == poster:
                thumbnail = encode_jpeg(pair[1].rgb(preview_size(clip, (_THUMBNAIL_PX, _THUMBNAIL_PX))))
            progress.advance("report")
    film = _with_sound(pictures, run.get(dub_plan.dubbed).file.path, timeline.duration_s)
    source_sound = folder / "source.m4a"
    is_heard = _is_in_time(run, dub_plan) and write_preview_sound(run.get(dub_plan.video).path, source_sound)
    return Pictures(film, layout, source_sound if is_heard else None, tuple(moments), thumbnail)


def _moment(pair: tuple[Frame, Frame], n: int, time_s: float, close_ups: _CloseUps) -> Moment:
    before, after = (encode_jpeg(close_ups.shown(frame, n, _MOMENT_WIDTH)) for frame in pair)
    return Moment(n, time_s, _close_up_size(_MOMENT_WIDTH), before, after)


def film_layout(half: tuple[int, int], speakers: list[Mouths]) -> FilmLayout:
    """How the film's picture is divided.

    Args:
        half: (height, width) of the source's small picture.
        speakers: Everybody's mouths; where none has a patch there are no close-ups.
    """
    if not any(mouths.has_patch_N.any() for mouths in speakers):
        return FilmLayout(half, (0, 0))
    width = min(half[1], _MOST_CLOSE_UP_WIDTH)
    return FilmLayout(half, _close_up_size(width))


def moments_of(is_shown_N: Bool, count: int) -> Int64:
    """(n,) int64, at most so many of the frames that are marked, evenly spread, in order."""
    candidates_n = np.flatnonzero(is_shown_N)
    if not len(candidates_n):
        return np.zeros(0, np.int64)
    places = np.linspace(0, len(candidates_n) - 1, min(count, len(candidates_n)))
    return np.asarray(candidates_n[np.rint(places).astype(np.int64)], np.int64)


def looked_at(has_patch_PN: Bool, is_silent_PN: Bool) -> Int64:
    """Whose mouth is looked at: who talks; in pauses, and where several talk, the one who was.

    Args:
        has_patch_PN: (P, N) bool, a mouth was made.
        is_silent_PN: (P, N) bool, it rests.

    Returns:
        (N,) int64, a person; -1 where nobody's mouth was made.
    """
    who, who_N = 0, np.full(has_patch_PN.shape[1], -1, np.int64)
    for n in np.flatnonzero(has_patch_PN.any(axis=0)).tolist():
        candidates_P = has_patch_PN[:, n] & ~is_silent_PN[:, n]
        if not candidates_P.any():
            candidates_P = has_patch_PN[:, n]
        if not candidates_P[who]:
            who = int(np.argmax(candidates_P))
        who_N[n] = who
    return who_N


def encode_jpeg(rgb: UInt8) -> bytes:
    """A JPEG file's bytes of a (H, W, 3) uint8 picture."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    is_encoded, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not is_encoded:
        raise ValueError(f"a picture of {rgb.shape} cannot be a JPEG file")
    return data.tobytes()


class _CloseUps:
    """Whose mouth is looked at when, and how it is cut out."""

    def __init__(self, speakers: list[Mouths], who_N: Int64) -> None:
        self._speakers, self._who_N = speakers, who_N

    def shown(self, frame: Frame, n: int, width: int) -> UInt8:
        """(height, width, 3) uint8, the mouth in a picture; grey where nobody's is made."""
        if self._who_N[n] < 0:
            return np.full((*_close_up_size(width), 3), _NO_MOUTH, np.uint8)
        return _cut(frame, self._speakers[self._who_N[n]], n, width)


def _cut(frame: Frame, mouths: Mouths, n: int, width: int) -> UInt8:
    """The part of a picture that `CLOSE_UP` names, so many px wide."""
    left, top, right, _ = CLOSE_UP
    shown_23 = scale_similarity(mouths.similarity_N23[n], CROP_SIZE_PX / mouths.crop_size_px)
    shown_23[:, 2] += np.subtract(MOUTH_WINDOW[:2], (left, top)).astype(np.float32)
    shown_23 = scale_similarity(shown_23, width / (right - left))
    size = _close_up_size(width)
    corners_42 = np.array([[0, 0], [size[1], 0], size[::-1], [0, size[0]]], np.float32)
    display_42 = apply_similarity(invert_similarity(shown_23), corners_42)
    # Where the head leaves the picture its border continues.
    low = np.minimum(display_42.min(axis=0) - _MARGIN_PX, np.subtract(frame.size[::-1], 2))
    high = np.maximum(display_42.max(axis=0) + _MARGIN_PX, 2)
    box = even_box((float(low[0]), float(low[1]), float(high[0]), float(high[1])), frame.size)
    return sample_patch(frame.rgb_box(box), box[:2], shown_23, size)


def _close_up_size(width: int) -> tuple[int, int]:
    """(height, width) of a close-up that is so many px wide; even."""
    left, top, right, bottom = CLOSE_UP
    return round(width * (bottom - top) / (right - left) / 2) * 2, width


def _pairs(run: Run, dub_plan: DubPlan) -> Generator[tuple[Frame, Frame]]:
    """The source picture of each output frame, and the frame itself."""
    clip, file = run.get(dub_plan.clip), run.get(dub_plan.dubbed).file
    track, retime = run.get(dub_plan.track), run.get(dub_plan.retime)
    footage = ShownFootage(run.get(dub_plan.video), clip, track, retime)
    with closing(footage.open()) as before, closing(read_frames(file.path, probe(file.path))) as after:
        for shown, frame in zip(before, after, strict=True):
            yield shown.frame, frame


def _composed(pair: tuple[Frame, Frame], n: int, layout: FilmLayout, close_ups: _CloseUps) -> UInt8:
    """The film's picture."""
    (height, width), (_, close_width) = layout.half, layout.close_up
    canvas = np.full((*layout.size, 3), _NO_MOUTH, np.uint8)
    for frame, x in zip(pair, (0, width), strict=True):
        canvas[:height, x : x + width] = frame.rgb(layout.half)
        if close_width:
            canvas[height:, x : x + close_width] = close_ups.shown(frame, n, close_width)
    return canvas


def _with_sound(pictures: Path, dubbed: Path, duration_s: float) -> Path:
    sound, film = pictures.with_name("dub.m4a"), pictures.with_name("film.mp4")
    if not write_preview_sound(dubbed, sound):
        return pictures
    join_preview(pictures, sound, film, duration_s)
    return film


def _is_in_time(run: Run, dub_plan: DubPlan) -> bool:
    """Whether each output frame is the source's of that number, at its own time: so is the source's sound."""
    clip, timeline, retime = run.get(dub_plan.clip), run.get(dub_plan.timeline), run.get(dub_plan.retime)
    count = min(timeline.num_frames, clip.num_frames)
    is_same = np.array_equal(retime.source_index_N[:count], np.arange(count))
    return is_same and np.allclose(timeline.times_s_N[:count], clip.times_s_T[:count], atol=1e-3)
