"""Whole pictures from fields: FFmpeg's bwdif, one picture per frame, at the frame's own time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import av.error
from av.filter import Graph

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

WARM_UP_FRAMES = 2
"""A picture depends on the frames before and after it: reading begins so many frames earlier."""


def deinterlaced(
    frames: Iterable[tuple[int, VideoFrame]], stream: VideoStream
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames with their times, made whole; all of them, whatever their flags say.

    Args:
        frames: In order. A picture whose size or format changes begins anew.
        stream: Where they come from.

    Yields:
        As many pictures, each with the time of its frame.
    """
    times: list[int] = []
    graph: Graph | None = None
    form: tuple[int, int, str] | None = None
    for pts, frame in frames:
        this_form = (frame.width, frame.height, frame.format.name)
        if graph is None or this_form != form:
            if graph is not None:
                yield from _ended(graph, times)
            graph, form, times = _graph(frame, stream), this_form, []
        times.append(pts)
        graph.push(frame)
        yield from _ready(graph, times)
    if graph is not None:
        yield from _ended(graph, times)


def _graph(frame: VideoFrame, stream: VideoStream) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    source.link_to(bwdif)
    bwdif.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _ready(graph: Graph, times: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    while True:
        try:
            picture = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield times.pop(0), picture  # type: ignore[misc]


def _ended(graph: Graph, times: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    graph.push(None)
    yield from _ready(graph, times)
