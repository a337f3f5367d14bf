"""Normal equations of all frames at once: what each frame wants, and that poses and expressions are smooth.

The unknowns of a frame are 6 of the pose and K of the expression. Second differences tie the pose of three
frames in a row together, first differences the expression of two. So the matrix of all frames has the
bandwidth 2 (6 + K), and time grows with the number of frames only.

Shapes: T frames, D = 6 + K unknowns of a frame.
"""

from __future__ import annotations

import numpy as np

from dubber.types import Bool, Float64

NUM_POSE = 6
"""Unknowns of the pose: a small left rotation (3), the logarithm of the scale, a shift (2)."""


def second_differences(pose_T6: Float64, turn_T3: Float64, continues_T: Bool) -> Float64:
    """Accelerations of the pose.

    Args:
        pose_T6: (T, 6); the rotation's three numbers are not looked at.
        turn_T3: (T, 3) axis-angle of the rotation from the frame before to this one, radians.
        continues_T: (T,) bool, the frame follows the one before without a cut or a gap.

    Returns:
        (T, 6) about each frame; 0 where it has no neighbour on one side.
    """
    step_T6 = np.zeros_like(pose_T6)
    step_T6[1:, 3:] = np.diff(pose_T6[:, 3:], axis=0)
    step_T6[:, :3] = turn_T3
    change_T6 = np.zeros_like(pose_T6)
    change_T6[:-1] = np.diff(step_T6, axis=0)
    return change_T6 * _is_middle(continues_T)[:, None]


def add_differences(
    normal_TDD: Float64,
    right_TD: Float64,
    acceleration_T6: Float64,
    expression_TK: Float64,
    continues_T: Bool,
    pose_weight_6: Float64,
    expression_weight: float,
) -> tuple[Float64, Float64]:
    """Add |second differences of the pose|^2 and |first differences of the expression|^2, weighted.

    Args:
        normal_TDD: (T, D, D) normal equations of the frames by themselves; changed in place.
        right_TD: (T, D) their right sides; changed in place.
        acceleration_T6: (T, 6) `second_differences` of the present poses.
        expression_TK: (T, K) the present expressions.
        continues_T: (T,) bool.
        pose_weight_6: (6,) weights of the pose's second differences.
        expression_weight: Weight of the expression's first differences.

    Returns:
        Couplings (T, D) of each frame's unknowns with the same ones of the next frame, and (T, 6) with those
        of the next but one.
    """
    num_frames, size = right_TD.shape
    middle_T = _is_middle(continues_T)
    joint_T = continues_T.astype(np.float64)
    joint_T[:1] = 0
    next_TD, after_T6 = np.zeros((num_frames, size)), np.zeros((num_frames, NUM_POSE))
    diagonal_T, coupling_T = 4 * middle_T, -2 * middle_T
    diagonal_T[:-1] += middle_T[1:]
    diagonal_T[1:] += middle_T[:-1]
    coupling_T[:-1] -= 2 * middle_T[1:]
    pose, expression = np.arange(NUM_POSE), np.arange(NUM_POSE, size)
    normal_TDD[:, pose, pose] += diagonal_T[:, None] * pose_weight_6
    next_TD[:, :NUM_POSE] = coupling_T[:, None] * pose_weight_6
    after_T6[:-1] = middle_T[1:, None] * pose_weight_6
    pull_T6 = acceleration_T6 * pose_weight_6
    right_TD[:, :NUM_POSE] += 2 * pull_T6
    right_TD[:-1, :NUM_POSE] -= pull_T6[1:]
    right_TD[1:, :NUM_POSE] -= pull_T6[:-1]
    joint_T *= expression_weight
    normal_TDD[:, expression, expression] += joint_T[:, None]
    normal_TDD[:-1, expression, expression] += joint_T[1:, None]
    next_TD[:-1, NUM_POSE:] = -joint_T[1:, None]
    step_TK = joint_T[1:, None] * np.diff(expression_TK, axis=0)
    right_TD[1:, NUM_POSE:] -= step_TK
    right_TD[:-1, NUM_POSE:] += step_TK
    return next_TD, after_T6


def solve(normal_TDD: Float64, right_TD: Float64, next_TD: Float64, after_T6: Float64) -> Float64:
    """(T, D) solution of the coupled normal equations, which are positive definite; see `add_differences`."""
    from scipy.linalg import solveh_banded

    num_frames, size = right_TD.shape
    bands = np.zeros((2 * size + 1, num_frames, size))
    row, column = np.tril_indices(size)
    bands[row - column, :, column] = normal_TDD[:, row, column].T
    # Coupling the last frames of all to what would follow them falls out of the matrix: they are zero there.
    bands[size] += next_TD
    bands[2 * size, :, :NUM_POSE] += after_T6
    flat = bands.reshape(2 * size + 1, -1)
    step = solveh_banded(flat, right_TD.reshape(-1), lower=True, overwrite_ab=True, check_finite=False)
    return np.asarray(step.reshape(num_frames, size), np.float64)


def _is_middle(continues_T: Bool) -> Float64:
    """(T,) 1 where a frame has both neighbours."""
    middle_T = np.zeros(len(continues_T))
    middle_T[1:-1] = continues_T[1:-1] & continues_T[2:]
    return middle_T
