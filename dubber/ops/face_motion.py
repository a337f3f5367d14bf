"""What the head and the eyes do in a clip: how fast the head moves, and when eyes are shut.

Index letters: T frames of the clip.
"""

from __future__ import annotations

import numpy as np

from dubber.ops.landmarks import EYE_CORNERS, EYE_LEFT, EYE_RIGHT, NOSE_TIP
from dubber.ops.portions import picked
from dubber.types import Bool, Float32, Float64, Int32

_NO_EYES = 1e-6


def eye_distance(landmarks_TL3: Float32) -> Float64:
    """Distance of the outer eye corners.

    Args:
        landmarks_TL3: (T, 468, 3) px.

    Returns:
        (T,) px; at least a tiny positive number, so that it can divide.
    """
    corners_T23 = picked(landmarks_TL3, [EYE_CORNERS[0], EYE_CORNERS[3]])
    outer_T2 = corners_T23[:, 0, :2] - corners_T23[:, 1, :2]
    return np.asarray(np.maximum(np.linalg.norm(outer_T2.astype(np.float64), axis=1), _NO_EYES))


def head_motion(landmarks_TL3: Float32, shot_id_T: Int32, has_face_T: Bool) -> Float64:
    """V(j) without blinks: how fast the tip of the nose moves, per frame, in inter-ocular distances.

    Central difference inside a shot, one-sided at its ends and beside frames without a face.

    Args:
        landmarks_TL3: (T, 468, 3) px.
        shot_id_T: (T,) shots; no difference is taken across their borders.
        has_face_T: (T,) whether the landmarks mean anything.

    Returns:
        (T,) >= 0; 0 where nothing can be said.

    Source: method.md section 1, V(j); the normalisation makes it independent of the face's size.
    """
    nose_T2 = picked(landmarks_TL3, [NOSE_TIP])[:, 0, :2].astype(np.float64)
    is_joined = (shot_id_T[1:] == shot_id_T[:-1]) & has_face_T[1:] & has_face_T[:-1]
    step_2 = np.where(is_joined[:, None], np.diff(nose_T2, axis=0), 0.0)
    total_T2, num_T = np.zeros_like(nose_T2), np.zeros(len(nose_T2))
    total_T2[1:] += step_2
    total_T2[:-1] += step_2
    num_T[1:] += is_joined
    num_T[:-1] += is_joined
    speed_T = np.linalg.norm(total_T2 / np.maximum(num_T, 1.0)[:, None], axis=1)
    return np.where(num_T > 0, speed_T / eye_distance(landmarks_TL3), 0.0)


def eye_openness(landmarks_TL3: Float32) -> Float64:
    """Height over width of each eye.

    Args:
        landmarks_TL3: (T, 468, 3) px.

    Returns:
        (T, 2) the person's left and right; 0 where there are no landmarks.
    """
    ratios = []
    for eye in (EYE_LEFT, EYE_RIGHT):
        points_T42 = picked(landmarks_TL3, eye)[..., :2].astype(np.float64)
        outer_T2, inner_T2, upper_T2, lower_T2 = np.moveaxis(points_T42, 1, 0)
        width_T = np.linalg.norm(outer_T2 - inner_T2, axis=1)
        ratios.append(np.linalg.norm(upper_T2 - lower_T2, axis=1) / np.maximum(width_T, _NO_EYES))
    return np.stack(ratios, axis=1)


def blinks(landmarks_TL3: Float32, has_face_T: Bool, *, threshold_ratio: float = 0.55) -> Bool:
    """B(j): frames on which the eyes are shut.

    Args:
        landmarks_TL3: (T, 468, 3) px.
        has_face_T: (T,) whether the landmarks mean anything.
        threshold_ratio: Shut when height over width falls below this share of the clip's median.

    Returns:
        (T,) bool, gaps of one frame closed.

    Source: method.md section 1, B(j); the threshold is the one proposed there.
    """
    ratio_T = eye_openness(landmarks_TL3).mean(axis=1)
    if not has_face_T.any():
        return np.zeros(len(ratio_T), bool)
    is_shut_T = has_face_T & (ratio_T < threshold_ratio * float(np.median(ratio_T[has_face_T])))
    padded = np.pad(is_shut_T, 1)
    return np.asarray(is_shut_T | (padded[:-2] & padded[2:]))
