"""Output frames on their way from the decoder to the encoder, with the mouths that are made for them.

The stages from the renderer on are links of a chain: each takes the frames one by one from the stage before,
in a thread of its own, and hands them on with another mouth. A frame is decoded once and no patch touches the
disk, but those of stages whose artefact is stored (`mouth_segments`). Loaded only when such a stage runs.

Index letters: N output frames, T source frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from dubber.engine.disk import disk_faults
from dubber.engine.mapped import forget_pages
from dubber.engine.stage import StageContext, Stream, stage_faults
from dubber.media.flow import prefetch
from dubber.media.frame import Frame
from dubber.media.layout import frame_bytes
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.stages.compositor import halfway_frame
from dubber.stages.mouth_geometry import shown_halfway
from dubber.stages.mouth_segments import finished_segments, written
from dubber.types import Clip, FaceTrack, Mouths, RetimeMap, SourceFile, UInt8

_AHEAD_BYTES = 25_000_000
_MOST_AHEAD = 4
"""Frames that wait between two stages: enough that neither waits for the other, few enough for 8K."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An output frame.

    Attributes:
        n: Its number.
        frame: The source picture.
        patch: (height, width, 3) uint8 RGB, the mouth; None where there is none, or not yet.
    """

    n: int
    frame: Frame
    patch: UInt8 | None = None


PART_FRAMES = 1500
"""So many output frames are prepared at a time: what a stage plans ahead for them is all that it holds."""

_MARGIN_FRAMES = 50
"""A part is planned with so many frames on either side, so that paths and smoothing come out as in the whole
(but for EBT's recursive smoothing of landmarks, which begins anew).
"""

Link = Callable[[Iterator[Shown]], Generator[Shown]]
"""Takes output frames, one after the other from some number on, and yields them with other patches."""


@dataclass(frozen=True)
class MouthStream(Stream[Mouths]):
    """Mouths that are made while they are consumed.

    Attributes:
        mouths: All that is known of them before; no patches.
        open: Starts the stream from its first frame; every output frame is shown, in order.
    """

    mouths: Mouths
    open: Callable[[], Generator[Shown]]

    def drain(self) -> None:
        """See `Stream`."""
        with closing(self.open()) as shown:
            deque(shown, maxlen=0)


@dataclass(frozen=True)
class ShownFootage:
    """The footage as the output shows it.

    Attributes:
        video: The file.
        clip: What probing told.
        track: Its shots say where pictures half-way between two frames are allowed.
        retime: Which source frame each output frame shows.
    """

    video: SourceFile
    clip: Clip
    track: FaceTrack
    retime: RetimeMap

    @property
    def num_ahead(self) -> int:
        """Frames that may wait between two stages."""
        return max(1, min(_MOST_AHEAD, _AHEAD_BYTES // frame_bytes(self.clip)))

    def open(self) -> Generator[Shown]:
        """The output's frames, without patches; each source frame is decoded once."""
        is_halfway_N = shown_halfway(self.track, self.retime).tolist()
        indices: list[int] = []
        for index, is_halfway in zip(self.retime.source_index_N.tolist(), is_halfway_N, strict=True):
            indices += [index, index + 1] if is_halfway else [index]
        with closing(read_frames_at(self.video.path, self.clip, indices)) as frames:
            for n, is_halfway in enumerate(is_halfway_N):
                frame = next(frames)
                yield Shown(n, halfway_frame(frame, next(frames)) if is_halfway else frame)


def as_stream(mouths: Mouths | MouthStream, footage: ShownFootage) -> MouthStream:
    """Mouths as a stream, wherever they are.

    Args:
        mouths: Being made, or stored.
        footage: The frames they are for.
    """
    if isinstance(mouths, MouthStream):
        return mouths

    def stored() -> Generator[Shown]:
        paths = [file.path for file in mouths.patches]
        with closing(prefetch(footage.open(), footage.num_ahead)) as shown:
            yield from _with_patches(shown, mouths, paths)

    return MouthStream(replace(mouths, patches=()), stored)


def first_link(
    ctx: StageContext, mouths: Mouths, footage: ShownFootage, begin: Callable[[], Link]
) -> MouthStream:
    """The stream of the stage that makes patches; where it is stored, it goes on behind a killed run.

    Args:
        ctx: Whose stage.
        mouths: All that is known of them before.
        footage: The frames.
        begin: Makes the link, in the stage's own thread; it may be asked to begin at any frame.
    """

    def resumed() -> Generator[Shown]:
        num_finished, paths = finished_segments(ctx, mouths)
        with closing(prefetch(footage.open(), footage.num_ahead, ctx.spend)) as shown:
            if num_finished:
                yield from _with_patches(islice(shown, num_finished), mouths, paths)
            yield from begin()(shown)

    return _stream(ctx, mouths, footage, resumed)


def next_link(
    ctx: StageContext, before: MouthStream, footage: ShownFootage, begin: Callable[[], Link]
) -> MouthStream:
    """The stream of a stage that changes patches; always from the first frame on.

    Args:
        ctx: Whose stage.
        before: The stage before.
        footage: The frames.
        begin: Makes the link, in the stage's own thread.
    """

    def changed() -> Generator[Shown]:
        with closing(before.open()) as shown:
            yield from begin()(shown)

    return _stream(ctx, before.mouths, footage, changed)


@dataclass(frozen=True)
class Part:
    """Some consecutive output frames.

    Attributes:
        start: The first one that is made.
        stop: One behind the last one.
        seen: The frames that are looked at to plan them.
    """

    start: int
    stop: int
    seen: slice

    def retime(self, retime: RetimeMap) -> RetimeMap:
        """The map of the frames that are looked at."""
        return RetimeMap(retime.source_index_N[self.seen], retime.is_halfway_N[self.seen])

    def mouths(self, mouths: Mouths) -> Mouths:
        """The mouths that are looked at."""
        return replace(
            mouths,
            patches=(),
            has_patch_N=mouths.has_patch_N[self.seen],
            similarity_N23=mouths.similarity_N23[self.seen],
            landmarks_NM2=mouths.landmarks_NM2[self.seen],
            source_landmarks_NM2=mouths.source_landmarks_NM2[self.seen],
        )


def parts(num_frames: int) -> list[Part]:
    """All output frames, part by part."""
    return [
        Part(
            start,
            min(start + PART_FRAMES, num_frames),
            slice(max(0, start - _MARGIN_FRAMES), min(start + PART_FRAMES + _MARGIN_FRAMES, num_frames)),
        )
        for start in range(0, num_frames, PART_FRAMES)
    ]


def part_by_part(num_frames: int, link_of: Callable[[Part], Link]) -> Link:
    """A link that is planned anew for each part; what it plans counts frames from `Part.seen.start`.

    Args:
        num_frames: N.
        link_of: Plans a part; called when its first frame comes.
    """

    def link(shown: Iterator[Shown]) -> Generator[Shown]:
        left = deque(parts(num_frames))
        for first in shown:
            while left[0].stop <= first.n:
                left.popleft()
            part = left[0]
            forget_pages()
            rest = islice(shown, part.stop - first.n - 1)
            with closing(link_of(part)(_renumbered(chain([first], rest), -part.seen.start))) as made:
                yield from _renumbered(made, part.seen.start)

    return link


def _renumbered(shown: Iterable[Shown], offset: int) -> Generator[Shown]:
    for each in shown:
        yield replace(each, n=each.n + offset)


def changed_patches(shown: Iterator[Shown], change: Callable[[int, UInt8], UInt8]) -> Generator[Shown]:
    """The frames with each patch replaced by what `change` makes of its number and itself."""
    for each in shown:
        yield each if each.patch is None else replace(each, patch=change(each.n, each.patch))


def _stream(
    ctx: StageContext, mouths: Mouths, footage: ShownFootage, flow: Callable[[], Generator[Shown]]
) -> MouthStream:
    """A stream in a thread of its own, counted and, where that is wanted, stored."""

    def told() -> Generator[Shown]:
        faults = disk_faults(ctx.runtime.cache_dir, ctx.stage_name), stage_faults(ctx.stage_name)
        with faults[0], faults[1], ctx.frames(len(mouths.has_patch_N)), closing(flow()) as shown:
            for each in shown if ctx.keep is None else written(ctx, mouths, shown):
                ctx.advance()
                yield each

    return MouthStream(mouths, lambda: prefetch(told(), footage.num_ahead, ctx.spend))


def _with_patches(shown: Iterator[Shown], mouths: Mouths, paths: list[Path]) -> Generator[Shown]:
    """Frames with the stored patches of those that have one."""
    with closing(prefetch(read_patches(paths), _MOST_AHEAD)) as patches:
        for each in shown:
            is_patched = mouths.has_patch_N[each.n] and not mouths.is_own_pixels
            yield replace(each, patch=next(patches)) if is_patched else each
