"""Whether teeth and tongue hold together from frame to frame (docs/quality.md).

What is filmed between the lips moves, and motion explains most of its change; teeth that are torn or melted
are other teeth in each frame. How much is left unexplained depends on how wide the mouth is open and how
fast it moves, so a made moment is compared with what the same person's filmed mouths leave at its opening
and speed.

Index letters: M = 39 mouth and jaw landmarks, K moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_OUTER, NUM_MOUTH, mouth_opening
from dubber.ops.optical_flow import flow_to, pulled
from dubber.ops.warp import sample_patch
from dubber.types import Bool, Float32, Float64, UInt8

LEAST_OPENING_PX = 5.0
"""Less is too little to see anything between the lips, px of the 384 crop."""

LEAST_FILMED, LEAST_MADE = 40, 20
"""Fewer open moments say nothing."""

_VIEW_SIZE = (96, 120)
"""Height and width of what is compared, px of the crop; the mouth is upright in its middle."""

_FLAT_LEVELS = 3.0
"""Contrast that noise alone has."""

_STILL_PX = 0.3
"""Motion of the lips that is the tracker's own tremble, px of the crop per frame."""


@dataclass(frozen=True)
class _Look:
    """A mouth in a frame.

    Attributes:
        n: The frame.
        luma_HW: (96, 120) uint8, upright.
        lips_M2: (20, 2) the mouth's landmarks in it.
        opening_px: Of the inner lips.
    """

    n: int
    luma_HW: UInt8
    lips_M2: Float32
    opening_px: float

    @property
    def is_inside_HW(self) -> Bool:
        """(96, 120) bool, what lies between the lips."""
        levels = np.zeros(_VIEW_SIZE, np.uint8)
        cv2.fillPoly(levels, [np.rint(self.lips_M2[len(MOUTH_OUTER) :]).astype(np.int32)], (1,))
        return np.asarray(cv2.dilate(levels, np.ones((3, 3), np.uint8)) > 0, np.bool_)

    @classmethod
    def of(cls, n: int, crop: UInt8, landmarks_M2: Float32) -> _Look:
        """The mouth turned upright about its middle."""
        lips_M2 = landmarks_M2[:NUM_MOUTH]
        right, left = lips_M2[0], lips_M2[len(MOUTH_OUTER) // 2]
        along = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
        turn_22 = np.array([along, [-along[1], along[0]]], np.float32)
        middle = np.array(_VIEW_SIZE[::-1], np.float32) / 2
        upright_23 = np.concatenate([turn_22, (middle - turn_22 @ lips_M2.mean(axis=0))[:, None]], axis=1)
        view = cv2.cvtColor(sample_patch(crop, (0, 0), upright_23, _VIEW_SIZE), cv2.COLOR_RGB2GRAY)
        return cls(
            n,
            np.asarray(view, np.uint8),
            apply_similarity(upright_23, lips_M2),
            float(mouth_opening(landmarks_M2[None])[0]),
        )


@dataclass
class _Mouth:
    """One mouth over time: what motion leaves unexplained in each open moment.

    Attributes:
        moments: Logarithms of the opening, of the lips' speed and of what is unexplained.
    """

    moments: list[tuple[float, float, float]] = field(default_factory=list)
    _last: list[_Look] = field(default_factory=list)

    def add(self, look: _Look) -> None:
        """A frame more; a moment is told once a frame has both its neighbours."""
        if self._last and look.n != self._last[-1].n + 1:
            self._last = []
        self._last = [*self._last[-2:], look]
        if len(self._last) == 3 and self._last[1].opening_px > LEAST_OPENING_PX:
            self.moments.append(_moment(*self._last))


def _moment(before: _Look, here: _Look, after: _Look) -> tuple[float, float, float]:
    """What of the inside is found in neither neighbour, along the optical flow, over its contrast."""
    changes = [
        np.abs(pulled(other.luma_HW.astype(np.float32), flow_to(here.luma_HW, other.luma_HW)) - here.luma_HW)
        for other in (before, after)
    ]
    inside = here.is_inside_HW
    unexplained = float(np.sqrt(np.square(np.minimum(*changes)[inside]).mean()))
    contrast = float(here.luma_HW[inside].std())
    speed_px = max(float(np.abs(here.lips_M2 - other.lips_M2).mean()) for other in (before, after))
    unrest = max(unexplained, 1e-3) / (contrast + _FLAT_LEVELS)
    return float(np.log(here.opening_px)), float(np.log(speed_px + _STILL_PX)), float(np.log(unrest))


@dataclass
class Inside:
    """Unrest of teeth and tongue in the made mouths of a person, over that of the filmed ones.

    Of each moment (a frame and both its neighbours) in which the mouth is open: what lies between the lips
    and is found in neither neighbour, along the optical flow, root mean square, over the contrast there. A
    line through the filmed moments' logarithms says what is usual at an opening and a speed of the lips.
    """

    _made: _Mouth = field(default_factory=_Mouth)
    _filmed: _Mouth = field(default_factory=_Mouth)

    def add_made(self, n: int, crop: UInt8, landmarks_M2: Float32) -> None:
        """A frame of the dub.

        Args:
            n: Its number; one that does not follow its predecessor's stands behind a gap.
            crop: (384, 384, 3) uint8 RGB.
            landmarks_M2: (39, 2) as they are seen in it, px of the crop.
        """
        self._made.add(_Look.of(n, crop, landmarks_M2))

    def add_filmed(self, n: int, crop: UInt8, landmarks_M2: Float32) -> None:
        """A frame of the source; see `add_made`."""
        self._filmed.add(_Look.of(n, crop, landmarks_M2))

    def ratio(self) -> float | None:
        """Geometric mean over the made moments; 1 is as filmed. None where too few mouths are open."""
        made_K3, filmed_K3 = (
            np.array(mouth.moments, np.float64).reshape(-1, 3) for mouth in (self._made, self._filmed)
        )
        if len(made_K3) < LEAST_MADE or len(filmed_K3) < LEAST_FILMED:
            return None
        usual, *_ = np.linalg.lstsq(_known(filmed_K3), filmed_K3[:, 2], rcond=None)
        return float(np.exp((made_K3[:, 2] - _known(made_K3) @ usual).mean()))


def _known(moments_K3: Float64) -> Float64:
    """(K, 3) what the usual unrest is told from: one, the opening and the speed."""
    return np.concatenate([np.ones((len(moments_K3), 1)), moments_K3[:, :2]], axis=1)
