"""SCRFD, insightface's face detector, from its ONNX file.

Source: Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection",
arXiv:2105.04714; scaling, anchors and thresholds as in insightface, `model_zoo/scrfd.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dubber.errors import WeightsError
from dubber.tracking.onnx import open_network
from dubber.types import Float32, UInt8

STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2
MIN_SCORE = 0.5
MAX_OVERLAP = 0.4
"""Of two boxes whose intersection over union is larger, the surer one is kept."""

_GRID_PX = STRIDES[-1]
_BOX, _POINTS = 4, 10
_ADVICE = "Give the detection model of an insightface pack, such as det_10g.onnx."


@dataclass(frozen=True)
class Detection:
    """A face.

    Attributes:
        box_4: (4,) float32 xyxy px, from forehead to chin.
        score: 0..1.
        points_52: (5, 2) float32 px: the eye on the picture's left, that on its right, nose tip, mouth
            corners; None from a network that does not tell them.
    """

    box_4: Float32
    score: float
    points_52: Float32 | None


class Scrfd:
    """Detects faces.

    Args:
        path: ONNX with three outputs (scores, boxes, and in most files points) per stride.

    Raises:
        WeightsError: onnxruntime is not installed, or the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        self._session = open_network(path, "SCRFD network", _ADVICE)
        self._input = self._session.get_inputs()[0].name
        sides = [side for side in self._session.get_inputs()[0].shape[2:] if isinstance(side, int)]
        self.max_side_px: int | None = min(sides, default=None)
        """Longest side of a picture that the network takes; None: any."""
        try:
            self.detect(np.zeros((64, 64, 3), np.uint8))
        except Exception as error:  # onnxruntime's errors share no class below Exception
            raise WeightsError("The file is no SCRFD network.", where=str(path), advice=_ADVICE) from error

    def detect(self, rgb_HW3: UInt8) -> list[Detection]:
        """Faces of a picture whose sides are at most `max_side_px`; the surest first.

        Args:
            rgb_HW3: (H, W, 3) uint8 RGB.
        """
        height, width = (self.max_side_px or -(-side // _GRID_PX) * _GRID_PX for side in rgb_HW3.shape[:2])
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[: rgb_HW3.shape[0], : rgb_HW3.shape[1]] = rgb_HW3
        levels_1CHW = ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        outputs = [np.asarray(output) for output in self._session.run(None, {self._input: levels_1CHW})]
        centres_A2, strides_A = _anchors(height, width)
        scores_A = _rows(outputs, 1)[:, 0]
        kept_K = np.flatnonzero(scores_A >= MIN_SCORE)
        centres_K2, strides_K1 = centres_A2[kept_K], strides_A[kept_K, None]
        distances_K4 = _rows(outputs, _BOX)[kept_K] * strides_K1
        boxes_K4 = np.concatenate(
            [centres_K2 - distances_K4[:, :2], centres_K2 + distances_K4[:, 2:]], axis=1
        )
        points_K52 = None
        if len(outputs) == 3 * len(STRIDES):
            offsets_K10 = _rows(outputs, _POINTS)[kept_K] * strides_K1
            points_K52 = centres_K2[:, None] + offsets_K10.reshape(-1, 5, 2)
        return [
            Detection(boxes_K4[k], float(scores_A[kept_K[k]]), None if points_K52 is None else points_K52[k])
            for k in _surest(boxes_K4, scores_A[kept_K])
        ]


def _rows(outputs: list[Float32], size: int) -> Float32:
    """(A, size) one kind of output of all strides, finest first; some files have it as (1, A, size)."""
    found = sorted((o.reshape(-1, size) for o in outputs if o.shape[-1] == size), key=len, reverse=True)
    if len(found) != len(STRIDES):
        raise ValueError(f"{len(found)} outputs of {size} numbers per anchor, not {len(STRIDES)}")
    return np.concatenate(found)


def _anchors(height: int, width: int) -> tuple[Float32, Float32]:
    """(A, 2) px of the anchors' centres and (A,) their strides."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride] * stride
        cells_N2 = np.stack([x, y], axis=-1).reshape(-1, 2)
        centres.append(np.repeat(cells_N2, ANCHORS_PER_CELL, axis=0).astype(np.float32))
        strides.append(np.full(len(centres[-1]), stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def _surest(boxes_K4: Float32, scores_K: Float32) -> list[int]:
    """Numbers of the boxes that no surer one overlaps."""
    corners_sizes = np.concatenate([boxes_K4[:, :2], boxes_K4[:, 2:] - boxes_K4[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners_sizes.tolist(), scores_K.tolist(), MIN_SCORE, MAX_OVERLAP)
    return [int(k) for k in kept]
