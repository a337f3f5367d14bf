"""Who a face is, as an ArcFace network of the user's sees it.

Source: Deng et al. 2019, "ArcFace"; the five points and the scaling of levels are insightface's.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dubber.errors import WeightsError
from dubber.ops.align import umeyama
from dubber.ops.landmarks import EYE_LEFT, EYE_RIGHT, MOUTH_OUTER, NOSE_TIP
from dubber.tracking.onnx import open_network
from dubber.types import Float32, UInt8

FACE_SIZE_PX = 112
FIVE_POINTS_52: Float32 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Where both eyes, the nose's tip and the mouth's corners lie in the network's picture, px.

Source: insightface, `face_align.arcface_dst`.
"""

_MOUTH_LEFT = MOUTH_OUTER[6]
_ADVICE = "Give the recognition model of an insightface pack, such as w600k_r50.onnx."


class ArcFace:
    """Embeds faces.

    Args:
        path: ONNX: (B, 3, 112, 112) RGB, (level - 127.5) / 127.5, to (B, D).

    Raises:
        WeightsError: onnxruntime is not installed, or the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        self._session = open_network(path, "ArcFace network", _ADVICE)
        try:
            embedding = self.embed(np.zeros((2, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8))
        except Exception as error:  # onnxruntime's errors share no class below Exception
            raise WeightsError("The file is no ArcFace network.", where=str(path), advice=_ADVICE) from error
        if embedding.ndim != 2 or len(embedding) != 2:
            raise WeightsError(
                f"The network gives {list(embedding.shape)} for two faces; an ArcFace network gives (2, D).",
                where=str(path),
                advice=_ADVICE,
            )
        self.size = embedding.shape[1]

    def embed(self, faces_BHW3: UInt8) -> Float32:
        """(B, D) float32 of upright faces, (B, 112, 112, 3) uint8 RGB."""
        # A face at a time: not every file takes more.
        levels = (faces_BHW3.astype(np.float32).transpose(0, 3, 1, 2) - 127.5) / 127.5
        name = self._session.get_inputs()[0].name
        return np.concatenate([np.asarray(self._session.run(None, {name: face[None]})[0]) for face in levels])


def five_points(landmarks_L3: Float32) -> Float32:
    """(5, 2) middle of the eye on the picture's left, of that on its right, nose tip, mouth corners, px."""
    eyes = [landmarks_L3[eye[:2], :2].mean(axis=0) for eye in (EYE_RIGHT, EYE_LEFT)]
    others = landmarks_L3[[NOSE_TIP, MOUTH_OUTER[0], _MOUTH_LEFT], :2]
    return np.asarray(np.stack([*eyes, *others]), np.float32)


def upright_similarity(landmarks_L3: Float32) -> Float32:
    """(2, 3) what brings a face's px to where the network was taught to see it."""
    return np.asarray(umeyama(five_points(landmarks_L3)[None], FIVE_POINTS_52)[0], np.float32)


def upright(picture: UInt8, similarity_23: Float32) -> UInt8:
    """(112, 112, 3) uint8 the face as the network was taught with; beyond the picture black."""
    size = (FACE_SIZE_PX, FACE_SIZE_PX)
    return np.asarray(cv2.warpAffine(picture, np.asarray(similarity_23, np.float64), size), np.uint8)
