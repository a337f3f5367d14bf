"""Who is seen where, and what explains the face that is dubbed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dubber.types.arrays import Bool, Float32, Int8, Int32

NUM_TRACKER_LANDMARKS = 468
"""Vertices of the tracker's face mesh (MediaPipe canonical face, without irises)."""


@dataclass(frozen=True)
class People:
    """Every face in every frame, and whose it is.

    Sightings are in the order of their frames. People are numbered by the area of their faces summed over
    all frames, the largest first; users count them from 1.

    Attributes:
        frames_S: (S,) int32 frame of each sighting, not decreasing.
        person_S: (S,) int32 in 0..P - 1; nobody is twice in a frame.
        boxes_S4: (S, 4) float32 xyxy px.
        scores_S: (S,) float32 in 0..1.
        landmarks_SL3: (S, 468, 3) float32 px.
        shot_id_T: (T,) int32 counting from 0.
        is_mixed_T: (T,) bool, two shots are seen at once: one dissolves into the other.
        look_rows_PA: (P, A) int32, sightings at which a person is seen well, best first; -1 where there are
            fewer.
        looks_PAD: (P, A, D) float32, how the person looks there; see `dubber.ops.appearance`.
    """

    frames_S: Int32
    person_S: Int32
    boxes_S4: Float32
    scores_S: Float32
    landmarks_SL3: Float32
    shot_id_T: Int32
    is_mixed_T: Bool
    look_rows_PA: Int32
    looks_PAD: Float32

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.look_rows_PA)


class WhyNot(IntEnum):
    """Why a frame cannot be dubbed: the codes of `FaceTrack.why_not_T`."""

    USABLE = 0
    NO_FACE = 1
    """No face is seen at all."""
    OTHER_PERSON = 2
    """Others are seen, not the one who is dubbed."""
    TOO_SMALL = 3
    """The face has too few pixels."""
    TURNED_AWAY = 4
    """The face is turned too far to the side."""
    MIXED = 5
    """One shot dissolves into another, and two pictures are seen at once."""


@dataclass(frozen=True)
class FaceTrack:
    """The one face that is dubbed, frame by frame.

    Attributes:
        boxes_T4: (T, 4) float32 xyxy px; zeros where no face was found.
        landmarks_TL3: (T, 468, 3) float32 px; zeros where no face was found.
        scores_T: (T,) float32 in 0..1; 0 where no face was found.
        is_usable_T: (T,) bool, whether the frame can be dubbed.
        shot_id_T: (T,) int32 counting from 0; nothing is smoothed across shots.
        identity_id_T: (T,) int32 person's number in `People`, counting from 0; -1 where they are not seen.
        similarity_T23: (T, 2, 3) float32, smoothed similarity to the crop; identity where no face was found.
        why_not_T: (T,) int8 `WhyNot`; 0 where the frame can be dubbed.
        warnings: What the user may not have meant about the choice of the person, in sentences.
    """

    boxes_T4: Float32
    landmarks_TL3: Float32
    scores_T: Float32
    is_usable_T: Bool
    shot_id_T: Int32
    identity_id_T: Int32
    similarity_T23: Float32
    why_not_T: Int8
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaceCoeffs:
    """Coefficients of the linear face model that explain a track.

    The projection is scaled orthography: p = scale * (R @ v)_xy + translation, with R from `rotation_T3` and
    v the model's vertices in its own units.

    Attributes:
        identity_K: (K_id,) float32, one person.
        expression_TK: (T, K_exp) float32, in standard deviations of the model's basis.
        rotation_T3: (T, 3) float32 axis-angle, radians.
        scale_T: (T,) float32 px per model unit.
        translation_T2: (T, 2) float32 px.
        residual_px_T: (T,) float32, mean landmark distance in px of the crop; NaN where not usable.
    """

    identity_K: Float32
    expression_TK: Float32
    rotation_T3: Float32
    scale_T: Float32
    translation_T2: Float32
    residual_px_T: Float32
