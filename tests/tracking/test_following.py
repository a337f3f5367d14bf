"""Following faces, whatever finds them: when the picture is searched, who is let go, what is freed."""

from __future__ import annotations

import numpy as np

from dubber.tracking.base import Picture, RgbPicture
from dubber.tracking.following import LOOK_EVERY_FRAMES, MAX_FACES, Followed, FollowingTracker
from dubber.tracking.regions import Region
from dubber.types import Float32

PICTURE = RgbPicture(np.zeros((100, 1000, 3), np.uint8))


class Finder:
    """Faces stand where a test puts them.

    Attributes:
        centres: (x, y) of each face.
        looks: How often the picture was searched.
    """

    def __init__(self, *centres: tuple[float, float]) -> None:
        self.centres = list(centres)
        self.looks = 0
        self.is_closed = False

    def look(self, picture: Picture, *, is_following: bool) -> list[Followed]:
        self.looks += 1
        return [self._face(x, y) for x, y in self.centres]

    def look_closely(self, picture: Picture, face: Followed) -> Followed | None:
        return face

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        for x, y in self.centres:
            if np.abs(region.centre_2 - [x, y]).max() < 20:
                across = np.linspace(-20, 20, 468)
                return np.stack([x + across, y + across, 0 * across], axis=1).astype(np.float32)
        return None

    def embedding(self, picture: Picture, landmarks_L3: Float32) -> Float32 | None:
        return landmarks_L3[0]

    def close(self) -> None:
        self.is_closed = True

    def _face(self, x: float, y: float) -> Followed:
        box_4 = np.array([x - 20, y - 20, x + 20, y + 20], np.float32)
        return Followed(Region(np.array([x, y], np.float32), 60, 0.0), box_4, 0.9)


def counts(tracker: FollowingTracker, num_frames: int) -> list[int]:
    return [len(tracker.track(PICTURE, n / 25)) for n in range(num_frames)]


def test_the_picture_is_searched_now_and_then_and_at_once_where_nobody_is_left() -> None:
    finder = Finder((50, 50))
    tracker = FollowingTracker(finder)
    assert counts(tracker, 2 * LOOK_EVERY_FRAMES) == [1] * 2 * LOOK_EVERY_FRAMES
    assert finder.looks == 2
    finder.centres = []
    assert counts(tracker, 3) == [0, 0, 0]
    assert finder.looks == 5


def test_who_comes_in_is_seen_at_the_next_search_or_after_a_reset() -> None:
    finder = Finder((50, 50))
    tracker = FollowingTracker(finder)
    counts(tracker, 1)
    finder.centres.append((200, 50))
    assert counts(tracker, LOOK_EVERY_FRAMES) == [1] * (LOOK_EVERY_FRAMES - 1) + [2]
    finder.centres.append((300, 50))
    tracker.reset()
    assert counts(tracker, 1) == [3]


def test_faces_are_recognised_in_frames_that_are_searched() -> None:
    tracker = FollowingTracker(Finder((50, 50)))
    seen = [tracker.track(PICTURE, n / 25)[0].embedding_E for n in range(LOOK_EVERY_FRAMES + 1)]
    assert [n for n, embedding in enumerate(seen) if embedding is not None] == [0, LOOK_EVERY_FRAMES]


def test_two_that_become_one_are_one() -> None:
    finder = Finder((50, 50), (85, 50))
    tracker = FollowingTracker(finder)
    assert counts(tracker, 1) == [2]
    finder.centres = [(68, 50)]
    assert counts(tracker, 1) == [1]


def test_no_more_than_so_many_are_followed() -> None:
    tracker = FollowingTracker(Finder(*((100 * n + 50, 50) for n in range(MAX_FACES + 2))))
    assert counts(tracker, 1) == [MAX_FACES]


def test_the_networks_are_freed_at_the_end() -> None:
    finder = Finder((50, 50))
    with FollowingTracker(finder) as tracker:
        assert counts(tracker, 1) == [1] and not finder.is_closed
    assert finder.is_closed
