"""Writing a film of which only some frames have changed: the packets of the others are the source's own."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from dubber.errors import StageError
from dubber.media.encoding import EncodeOptions, coded_size
from dubber.media.splice_join import Display, join_stretches
from dubber.media.splice_plan import SplicePlan, Stretch, plan_splice
from dubber.media.writer import VideoWriter
from dubber.types import Bool, Clip, Timeline

if TYPE_CHECKING:
    from dubber.media.frame import Frame

logger = logging.getLogger(__name__)


def open_picture_writer(
    path: Path,
    source: Path | None,
    clip: Clip,
    timeline: Timeline,
    options: EncodeOptions,
    is_changed_N: Bool,
    *,
    container: str = "mp4",
) -> tuple[VideoWriter | SplicedWriter, SplicePlan]:
    """A writer that copies what it can, else one that encodes everything.

    Args:
        path: The MP4 file to make.
        source: The file `clip` was probed from; None encodes everything.
        clip: What probing told.
        timeline: When the frames are shown, and which source frames they are.
        options: How to encode what has changed. Beside copied packets it is encoded in the source's picture
            format, whatever `options.chroma` says.
        is_changed_N: (N,) whether a frame differs from the source's.
        container: Suffix of the finished film that the pictures are for.

    Returns:
        The writer, to be entered and given all N frames, and the plan, which tells how many of them are
        copied or why none is.
    """
    plan = SplicePlan((), "Copying packets was not asked for.")
    if source is not None:
        is_other_N = is_changed_N | ~_is_own_frame(clip, timeline)
        plan = plan_splice(source, clip, is_other_N, options.codec, container)
        logger.info("%d of %d frames are copied. %s", plan.num_copied, len(is_other_N), plan.reason)
        if plan.num_copied:
            spliced = replace(options, chroma="source")
            return SplicedWriter(path, source, clip, timeline, spliced, plan), plan
    end_pts = timeline.end_pts - int(timeline.pts_N[0])
    return VideoWriter(path, clip, timeline.time_base, options, end_pts=end_pts), plan


def _is_own_frame(clip: Clip, timeline: Timeline) -> Bool:
    """(N,) bool, whether an output frame is the source's of the same index, at the same time."""
    num_both = min(clip.num_frames, timeline.num_frames)
    is_own_N = np.zeros(timeline.num_frames, np.bool_)
    is_own_N[:num_both] = timeline.source_index_N[:num_both] == np.arange(num_both)
    shifts_N = timeline.pts_N[:num_both] - timeline.pts_N[0]
    is_own_N[:num_both] &= shifts_N == clip.pts_T[:num_both] - clip.pts_T[0]
    return is_own_N


class SplicedWriter:
    """Encodes the changed stretches of a film and copies the source's packets of the others.

    A context manager that is used as `VideoWriter` is. All frames are given to it, those of copied stretches
    to be dropped. The file is MP4, whose keyframes bring their own parameter sets; where writing failed it is
    removed.

    Attributes:
        num_written: Frames so far.
        coded_size: (height, width) of the file's pictures.
    """

    def __init__(
        self,
        path: Path,
        source: Path,
        clip: Clip,
        timeline: Timeline,
        options: EncodeOptions,
        plan: SplicePlan,
    ) -> None:
        """Prepare to write.

        Args:
            path: The file to make; the stretches being encoded lie beside it.
            source: The file `clip` was probed from.
            clip: What probing told.
            timeline: When the frames are shown.
            options: How to encode.
            plan: What `plan_splice` made for them; something in it is copied.
        """
        self.path = path
        self.num_written = 0
        self.coded_size = coded_size(clip.size, options.codec)
        self._source, self._clip, self._timeline, self._options = source, clip, timeline, options
        self._pts_N = timeline.pts_N - timeline.pts_N[0]
        self._end_pts = timeline.end_pts - int(timeline.pts_N[0])
        self._stretches = plan.stretches
        self._stretch_index = 0
        self._encoded: dict[int, Path] = {}
        self._encoder: VideoWriter | None = None
        self._encoding = ExitStack()

    def write(self, frame: Frame, pts: int) -> None:
        """Take the next frame.

        Args:
            frame: Of the clip's size.
            pts: When it is shown, in ticks from the first frame on; what the timeline says.

        Raises:
            ValueError: Wrong size, wrong time, or there are too many frames.
            ConfigError: The encoder refuses its settings.
        """
        if frame.size != self._clip.size:
            raise ValueError(f"the frame is {frame.size}, the clip {self._clip.size}")
        if self.num_written >= len(self._pts_N) or pts != self._pts_N[self.num_written]:
            raise ValueError(f"frame {self.num_written} is not shown at {pts}")
        stretch = self._stretches[self._stretch_index]
        if not stretch.is_copied:
            self._encode(stretch, frame, pts)
        self.num_written += 1
        if self.num_written == stretch.stop_frame:
            self._encoding.close()
            self._encoder = None
            self._stretch_index += 1

    def finish(self) -> None:
        """Join the stretches.

        Raises:
            StageError: Frames are missing, or the source is not what it was.
        """
        if self.num_written != len(self._pts_N):
            raise StageError(f"Only {self.num_written} of {len(self._pts_N)} frames were written.")
        join_stretches(
            self.path,
            self._source,
            self._clip,
            self._stretches,
            self._encoded,
            Display(self._pts_N, self._end_pts, self._timeline.time_base),
        )

    def __enter__(self) -> SplicedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._encoding.__exit__(kind, error, traceback)
            if kind is None:
                self.finish()
        finally:
            for path in self._encoded.values():
                path.unlink(missing_ok=True)

    def _encode(self, stretch: Stretch, frame: Frame, pts: int) -> None:
        if self._encoder is None:
            path = self.path.with_name(f"{self.path.stem}.{stretch.start_frame}.mp4")
            end_pts = self._end_pts
            if stretch.stop_frame < len(self._pts_N):
                end_pts = int(self._pts_N[stretch.stop_frame])
            writer = VideoWriter(path, self._clip, self._timeline.time_base, self._options, end_pts=end_pts)
            self._encoded[stretch.start_frame] = path
            self._encoder = self._encoding.enter_context(writer)
        self._encoder.write(frame, pts)
