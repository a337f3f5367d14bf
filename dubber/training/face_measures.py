"""How good a face model is: what it explains, and what of the pose it takes for expression.

Shapes: T frames, K coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dubber.models.fit_state import FramePoses
from dubber.models.fitting import FaceFitter
from dubber.models.frame_equations import UNIT_PX
from dubber.models.morphable import LinearFaceModel, view_features
from dubber.ops.pose import rotation_matrices
from dubber.stages.fit import LIPS
from dubber.training.face_bases import vertex_weights
from dubber.training.procrustes import AlignedFaces
from dubber.types import Float32, Float64

TURN_DEG = 10.0
"""How far `turned_mesh_leakage` turns."""


def lips_share(model: LinearFaceModel, faces: AlignedFaces) -> float:
    """How much of the lips' motion in aligned faces the expression basis explains, 0..1.

    The lips' squared deviations from each clip's mean, against what is left after the best expression of the
    whole face (landmarks weighted as in training).

    Args:
        model: With as many vertices as the faces have landmarks.
        faces: Frames of people, best of others than the model was learned from.
    """
    deviations = np.concatenate(
        [
            part - part.mean(axis=0)
            for index in np.unique(faces.clip_T)
            for part in [faces.shape_TL3[faces.clip_T == index].astype(np.float64)]
        ]
    )
    basis = model.expression_KV3.astype(np.float64).reshape(model.num_expression, -1)
    weight = np.repeat(vertex_weights(deviations.shape[1]), 3)
    flat = deviations.reshape(len(deviations), -1)
    coefficients = np.linalg.lstsq((basis * weight).T, (flat * weight).T, rcond=None)[0]
    left = (flat - coefficients.T @ basis).reshape(deviations.shape)
    return float(1 - (left[:, LIPS] ** 2).sum() / (deviations[:, LIPS] ** 2).sum())


def pose_leakage(expressions: Sequence[Float64], rotations: Sequence[Float64]) -> Float64:
    """How much of the expression follows the pose: what a linear regression on nod and turn explains.

    All is taken against each clip's mean. People do nod as they speak, so a little remains of a perfect fit.

    Args:
        expressions: Per clip (T, K) fitted coefficients.
        rotations: Per clip (T, 3) fitted axis-angles.

    Returns:
        (2, K) by how much each coefficient changes when the head nods, or turns, by one standard deviation of
        what heads do within clips, as a share of the range between the coefficient's 5th and 95th percentile.
    """
    expression_TK = np.concatenate([rows - rows.mean(axis=0) for rows in expressions])
    pose_T2 = np.concatenate([rows[:, :2] - rows[:, :2].mean(axis=0) for rows in rotations])
    slope_2K = np.linalg.lstsq(pose_T2, expression_TK, rcond=None)[0]
    change_2K = np.abs(slope_2K) * pose_T2.std(axis=0)[:, None]
    return np.asarray(change_2K / usual_range(expression_TK), np.float64)


def turned_mesh_leakage(
    model: LinearFaceModel, fitter: FaceFitter, identity_K: Float32, poses: FramePoses
) -> Float64:
    """How much the expression found changes when nothing but the pose does.

    The fitted mesh is nodded and turned by `TURN_DEG` to either side, projected, and fitted anew.

    Args:
        model: The face model.
        fitter: Fits it.
        identity_K: (K_id,) the person.
        poses: (T,) fitted frames.

    Returns:
        (4, T, K) change of the coefficients against those found without a turn.
    """
    rotation_T33 = rotation_matrices(poses.rotation_T3)
    shape_TV3 = model.vertices_TV3(identity_K, poses.expression_TK.astype(np.float32))

    def found(turn_3: Float64) -> Float64:
        turned_T33 = rotation_matrices(turn_3[None]) @ rotation_T33
        posed_TV3 = np.tensordot(view_features(turned_T33), model.pose_PV3, 1)
        landmarks_TL3 = (shape_TV3 + posed_TV3) @ np.swapaxes(turned_T33, 1, 2) * UNIT_PX
        crop_scale_T = np.ones(len(turned_T33), np.float32)
        poses = fitter.fit_frames(landmarks_TL3.astype(np.float32), crop_scale_T, identity_K)
        return poses.expression_TK

    straight_TK = found(np.zeros(3))
    turns_43 = np.deg2rad(TURN_DEG) * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    return np.stack([found(turn_3) - straight_TK for turn_3 in turns_43])


def usual_range(expression_TK: Float64) -> Float64:
    """(K,) from the 5th to the 95th percentile."""
    low_K, high_K = np.percentile(expression_TK, [5, 95], axis=0)
    return np.asarray(high_K - low_K, np.float64)
