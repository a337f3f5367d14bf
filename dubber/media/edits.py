"""What an edited file says of itself: a sentence for people, and behind it what was changed, as JSON.

Both stand in the container's comment, one line for each time that dubber edited the film. MPEG-TS holds no
comment; there the sentence alone is the name of the service's provider.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from dubber.types import Bool, Float64, Timeline

SENTENCE = "Edited with dubber: the mouth was re-made to match other speech."
"""Said in the file itself: whoever inspects it can know that the picture was changed."""

PROVIDER = "service_provider"
"""The one name that MPEG-TS has room for."""

_MOST_RANGES = 400
"""More are joined, the nearest ones first: a comment has to fit into a command line."""

_MOST_UNTOUCHED = 100
"""Of more, short ones are left out: joined ones would tell of more than there is."""

_HEAD_BYTES = 1 << 16
"""MPEG-TS names its services within the first half second, and this is more where streams are thin."""

Range = tuple[float, float]
"""Start and end in seconds from the first frame."""


class Edits(BaseModel):
    """What one run of dubber changed.

    Attributes:
        dubber: The version that made the file.
        duration_s: How long the film is.
        pictures: When the mouth is re-made.
        sound: When the new sound is heard.
        length: How film and speech were brought to one length; other footage times than the source's come of
            all but "cut_off" and "silence".
        moved: When other pictures of the source are shown than it has there, as the user's curves say.
        copied: When pictures are the source's own, copied as they were coded there.
        encoded: When they are the source's own at their own times, and encoded again. Deinterlaced ones
            are not.
        mark: What is written into the pictures; empty for nothing.
        marked: When it is; empty for throughout.
        consent: Who agreed; empty where that was not said.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    dubber: str
    duration_s: float
    pictures: tuple[Range, ...] = ()
    sound: tuple[Range, ...] = ()
    length: str = ""
    moved: tuple[Range, ...] = ()
    copied: tuple[Range, ...] = ()
    encoded: tuple[Range, ...] = ()
    mark: str = ""
    marked: tuple[Range, ...] = ()
    consent: str = ""

    def line(self) -> str:
        """The sentence and the data, in one line of ASCII."""
        import json

        data = self.model_dump(mode="json", exclude_defaults=True)
        return f"{SENTENCE} {json.dumps(data, separators=(',', ':'))}"


def edits_in(comment: str) -> tuple[Edits, ...]:
    """What a comment tells of edits, the first edit first.

    Args:
        comment: A container's comment. A line with the sentence and without readable data still tells of an
            edit, by an unknown version.
    """
    found = []
    for line in edit_lines(comment):
        try:
            found.append(Edits.model_validate_json(line[line.index(SENTENCE) + len(SENTENCE) :]))
        except ValidationError:
            found.append(Edits(dubber="", duration_s=0.0))
    return tuple(found)


def edit_lines(comment: str) -> list[str]:
    """The lines of a comment that tell of edits."""
    return [line for line in comment.splitlines() if SENTENCE in line]


def read_edits(path: Path) -> tuple[Edits, ...]:
    """What a file's metadata tell of edits, the first edit first.

    Args:
        path: A video.

    Raises:
        MediaError: It is missing or no media file.
    """
    from dubber.media.container import open_media

    with open_media(path) as container:
        comments = [text for name, text in container.metadata.items() if name.lower() == "comment"]
        is_ts = container.format.name == "mpegts"
    if is_ts:
        with path.open("rb") as file:
            comments += [SENTENCE] if SENTENCE.encode() in file.read(_HEAD_BYTES) else []
    return tuple(edits for comment in comments for edits in edits_in(comment))


def changed_ranges(is_changed_N: Bool, timeline: Timeline) -> tuple[Range, ...]:
    """When frames are shown that were changed.

    Args:
        is_changed_N: (N,) which.
        timeline: When they are shown.

    Returns:
        In order, in whole milliseconds; where there would be very many, near ones are joined.
    """
    starts_s, ends_s = _runs_s(is_changed_N, timeline)
    if len(starts_s) > _MOST_RANGES:
        gaps_s = starts_s[1:] - ends_s[:-1]
        is_kept = np.zeros(len(gaps_s), np.bool_)
        is_kept[np.argsort(-gaps_s, kind="stable")[: _MOST_RANGES - 1]] = True
        starts_s, ends_s = starts_s[np.append(True, is_kept)], ends_s[np.append(is_kept, True)]
    return _rounded(starts_s, ends_s)


def untouched_ranges(is_untouched_N: Bool, timeline: Timeline) -> tuple[Range, ...]:
    """When frames are shown to which something was not done.

    Args:
        is_untouched_N: (N,) which.
        timeline: When they are shown.

    Returns:
        In order, in whole milliseconds; where there would be very many, the longest ones.
    """
    starts_s, ends_s = _runs_s(is_untouched_N, timeline)
    longest = np.sort(np.argsort(starts_s - ends_s, kind="stable")[:_MOST_UNTOUCHED])
    return _rounded(starts_s[longest], ends_s[longest])


def _runs_s(is_so_N: Bool, timeline: Timeline) -> tuple[Float64, Float64]:
    """When runs of such frames begin and end."""
    edges_s = np.append(timeline.times_s_N, timeline.duration_s)
    turns = np.flatnonzero(np.diff(np.concatenate([[False], is_so_N, [False]]).astype(np.int8)))
    return edges_s[turns[::2]], edges_s[turns[1::2]]


def _rounded(starts_s: Float64, ends_s: Float64) -> tuple[Range, ...]:
    return tuple(
        (round(start, 3), round(end, 3))
        for start, end in zip(starts_s.tolist(), ends_s.tolist(), strict=True)
    )
