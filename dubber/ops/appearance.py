"""How somebody looks: numbers that are near each other for the same person and far apart for two.

A look has three parts. The *face* is told by the directions of its edges (HOG) in the aligned crop, which
light changes little. The *colours* are those of skin, of the hair above the brow and of the clothes below the
chin; from one shot of a film to the next they tell people apart best. The *shape* is the landmarks' in three
dimensions, turned towards the camera. A face recogniser's answer, where there is one, takes the place of all.

Index letters: D numbers of a look, A, B looks, E numbers of a recogniser, Q points of the shape, H, W rows
and columns.
"""

from __future__ import annotations

import cv2
import numpy as np

from dubber.ops.align import apply_similarity, invert_similarity, similarity_to_mean_face
from dubber.ops.landmarks import EYE_CORNERS, IBUG68
from dubber.types import Float32, Float64, UInt8

_WINDOW = (-128, -160, 512, 544)
"""What is looked at, xyxy in px of the 384 crop: head and shoulders."""

_SHRINK = 4
"""Px of the crop per px of the window's picture."""

_FACE = (64, 64, 320, 320)
_COLOURED = (
    *((100, 140, 165, 190), (219, 140, 284, 190), (150, 40, 234, 80)),
    (96, -110, 288, -20),
    *((-60, 430, 130, 540), (130, 400, 254, 540), (254, 430, 444, 540)),
)
"""Parts of the window, xyxy in px of the crop: cheeks and forehead; over the head; under the chin."""

_HOG = ((64, 64), (16, 16), (8, 8), (8, 8), 9)
"""Source: Dalal and Triggs 2005: cells of 8 px, blocks of two by two, nine directions."""

_NUM_HOG, _NUM_COLOURS = 1764, 3 * len(_COLOURED)

_SHAPE_POINTS = IBUG68[:48]
"""Contour, brows, nose and eyes; a mouth that talks says nothing about whose it is."""

_TOP, _CHIN = 10, 152

NUM_OWN = _NUM_HOG + _NUM_COLOURS + 3 * len(_SHAPE_POINTS)
"""Numbers of a look without a recogniser's."""

_COLOUR_WEIGHT, _SHAPE_WEIGHT = 4.0, 10.0
"""Of 390 looks at people in clips for training and development, these told most pairs from one clip, a
second apart, from pairs of two people.
"""

SAME_PERSON = 1.8
"""Distance up to which two looks are of one person: 1 of 1000 pairs of two people are nearer, and 89 of 100
pairs of one person in one clip."""

SAME_FACE = 0.79
"""The same for `face_distances`, colours left aside: 1 of 200 pairs of two people are nearer."""

_SAME_EMBEDDING = 0.65
"""Cosine distance of two of ArcFace's answers up to which it is one person. Source: usual for verification
with ArcFace, Deng et al. 2019: similarity above 0.3 to 0.4.
"""


def window_box(landmarks_L3: Float32) -> Float32:
    """(4,) float32 xyxy px of the upright box around what `look` looks at."""
    x0, y0, x1, y1 = _WINDOW
    corners_42 = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    back_23 = invert_similarity(similarity_to_mean_face(landmarks_L3[None])[0])
    seen_42 = apply_similarity(back_23, corners_42)
    return np.asarray(np.concatenate([seen_42.min(axis=0), seen_42.max(axis=0)]), np.float32)


def window_side(landmarks_L3: Float32) -> float:
    """Px of the picture per px of the window's picture."""
    linear_22 = similarity_to_mean_face(landmarks_L3[None])[0, :, :2]
    return _SHRINK / float(np.hypot(linear_22[0, 0], linear_22[1, 0]))


def look(rgb_HW3: UInt8, landmarks_L3: Float32) -> Float32:
    """Look at a face.

    Args:
        rgb_HW3: (H, W, 3) uint8 RGB, a picture or a part of one, not much larger than it need be.
        landmarks_L3: (468, 3) px of it.

    Returns:
        (`NUM_OWN`,) float32, for `distances`.
    """
    window_HW3 = _window(rgb_HW3, landmarks_L3)
    grey_HW = cv2.cvtColor(_part(window_HW3, _FACE), cv2.COLOR_RGB2GRAY)
    hog_D = np.asarray(cv2.HOGDescriptor(*_HOG).compute(grey_HW), np.float32).ravel()
    lab_HW3 = cv2.cvtColor(window_HW3.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = [_part(np.asarray(lab_HW3, np.float32), box).mean(axis=(0, 1)) / 100 for box in _COLOURED]
    parts = [
        hog_D / max(float(np.linalg.norm(hog_D)), 1e-6),
        _COLOUR_WEIGHT * np.concatenate(colours),
        _SHAPE_WEIGHT * _shape(landmarks_L3),
    ]
    return np.asarray(np.concatenate(parts), np.float32)


def quality(rgb_HW3: UInt8, landmarks_L3: Float32) -> float:
    """How much a look can tell, 0..1: frontal, sharp and large faces tell most. Arguments as of `look`."""
    across_3 = landmarks_L3[EYE_CORNERS[-1]] - landmarks_L3[EYE_CORNERS[0]]
    frontal = float(np.hypot(across_3[0], across_3[1]) / max(float(np.linalg.norm(across_3)), 1e-6)) ** 4
    grey_HW = cv2.cvtColor(_part(_window(rgb_HW3, landmarks_L3), _FACE), cv2.COLOR_RGB2GRAY)
    sharp = float(cv2.Laplacian(grey_HW, cv2.CV_32F).var())
    return frontal * (sharp + 1) / (sharp + 100) * min(1.0, window_side(landmarks_L3))


def distances(looks_AD: Float32, others_BD: Float32) -> Float32:
    """(A, B) float32 how far looks are apart; `SAME_PERSON` is the limit."""
    recognised_AB = _recognised(looks_AD, others_BD)
    if recognised_AB is not None:
        return recognised_AB * SAME_PERSON
    colours = slice(_NUM_HOG, _NUM_HOG + _NUM_COLOURS)
    of_colours_AB = _apart(looks_AD[:, colours], others_BD[:, colours])
    return np.asarray(face_distances(looks_AD, others_BD) + of_colours_AB, np.float32)


def face_distances(looks_AD: Float32, others_BD: Float32) -> Float32:
    """(A, B) float32 how far looks are apart whatever the clothes and the light; `SAME_FACE` is the limit."""
    recognised_AB = _recognised(looks_AD, others_BD)
    if recognised_AB is not None:
        return recognised_AB * SAME_FACE
    hog, shape = slice(0, _NUM_HOG), slice(_NUM_HOG + _NUM_COLOURS, NUM_OWN)
    of_edges_AB = _apart(looks_AD[:, hog], others_BD[:, hog])
    return np.asarray(of_edges_AB + _apart(looks_AD[:, shape], others_BD[:, shape]), np.float32)


def _recognised(looks_AD: Float32, others_BD: Float32) -> Float32 | None:
    """(A, B) distance by a recogniser's answers, 1 the limit; None where looks have none."""
    if min(looks_AD.shape[1], others_BD.shape[1]) <= NUM_OWN:
        return None
    similarity_AB = looks_AD[:, NUM_OWN:] @ others_BD[:, NUM_OWN:].T
    return np.asarray((1 - similarity_AB) / _SAME_EMBEDDING, np.float32)


def _apart(looks_AD: Float32, others_BD: Float32) -> Float32:
    """(A, B) Euclidean distances."""
    squared_AB = (looks_AD**2).sum(1)[:, None] + (others_BD**2).sum(1) - 2 * looks_AD @ others_BD.T
    return np.asarray(np.sqrt(np.maximum(squared_AB, 0)), np.float32)


def _window(rgb_HW3: UInt8, landmarks_L3: Float32) -> UInt8:
    """Head and shoulders, upright and always of one size; what lies outside the picture repeats its rim."""
    matrix_23 = similarity_to_mean_face(landmarks_L3[None])[0].astype(np.float64)
    matrix_23[:, 2] -= _WINDOW[:2]
    matrix_23 /= _SHRINK
    # OpenCV has a pixel's centre at whole numbers.
    matrix_23[:, 2] += matrix_23[:, :2] @ [0.5, 0.5] - 0.5
    size = ((_WINDOW[2] - _WINDOW[0]) // _SHRINK, (_WINDOW[3] - _WINDOW[1]) // _SHRINK)
    window = cv2.warpAffine(rgb_HW3, matrix_23, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(window, np.uint8)


def _part(window_HW3: UInt8 | Float32, box: tuple[int, ...]) -> UInt8 | Float32:
    """A part of the window; the box is in px of the crop."""
    x0, y0, x1, y1 = ((value - _WINDOW[k % 2]) // _SHRINK for k, value in enumerate(box))
    return window_HW3[y0:y1, x0:x1]


def _shape(landmarks_L3: Float32) -> Float64:
    """(3 Q,) the points in the face's own axes, centred, of length 1."""
    points_L3 = landmarks_L3.astype(np.float64)
    right, left = EYE_CORNERS[0], EYE_CORNERS[-1]
    x_3 = points_L3[left] - points_L3[right]
    x_3 /= max(float(np.linalg.norm(x_3)), 1e-6)
    y_3 = points_L3[_CHIN] - points_L3[_TOP]
    y_3 -= x_3 * (x_3 @ y_3)
    y_3 /= max(float(np.linalg.norm(y_3)), 1e-6)
    shape_Q3 = points_L3[_SHAPE_POINTS]
    turned_Q3 = (shape_Q3 - shape_Q3.mean(axis=0)) @ np.stack([x_3, y_3, np.cross(x_3, y_3)], axis=1)
    return np.asarray(turned_Q3.ravel() / max(float(np.linalg.norm(turned_Q3)), 1e-6))
