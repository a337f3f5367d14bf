"""The values that flow between stages, and the conventions they obey.

Convention:
    boxes       xyxy, half-open, float pixels; the centre of the first pixel is at (0.5, 0.5)
    points      (x, y), pixels, y down; depth z in the same pixels, towards the camera negative
    sizes       (height, width)
    images      (H, W, 3) uint8 RGB outside models, (B, C, H, W) float inside
    masks       (H, W) float32 in 0..1, 1 = replaced by the renderer
    similarity  (2, 3) maps display pixels of a frame to the aligned crop: p_crop = S[:, :2] @ p + S[:, 2]
    crop        the aligned square of `CROP_SIZE_PX`; measures "in px of the crop" use this size whatever
                resolution a renderer works at
    patch       the part of the crop that is rendered, `MOUTH_WINDOW`, at the renderer's resolution
    time        integer ticks of a `Fraction` time base; frames are shown from their own pts on

Index letters: T source frames, N output frames, L landmarks of the tracker (468), M = 39 mouth and jaw
landmarks, K coefficients, V vertices, S sightings (a face in a frame), P people, A looks at a person.
"""

from __future__ import annotations

from dubber.types.arrays import Bool, Float32, Float64, Int8, Int32, Int64, Samples, UInt8
from dubber.types.dub import CROP_SIZE_PX, MOUTH_WINDOW, AdaptedPainter, DubbedVideo, Mouths, PainterVerdict
from dubber.types.faces import NUM_TRACKER_LANDMARKS, FaceCoeffs, FaceTrack, People, WhyNot
from dubber.types.files import SourceFile, StoredFile
from dubber.types.performance import ExpressionTrack, LengthMode, RetimeMap, Timeline
from dubber.types.recordings import Clip, ColorTags, HdrMetadata, Sound, Speech

__all__ = [
    "CROP_SIZE_PX",
    "MOUTH_WINDOW",
    "NUM_TRACKER_LANDMARKS",
    "AdaptedPainter",
    "Bool",
    "Clip",
    "ColorTags",
    "DubbedVideo",
    "ExpressionTrack",
    "FaceCoeffs",
    "FaceTrack",
    "Float32",
    "Float64",
    "HdrMetadata",
    "Int8",
    "Int32",
    "Int64",
    "LengthMode",
    "Mouths",
    "PainterVerdict",
    "People",
    "RetimeMap",
    "Samples",
    "Sound",
    "SourceFile",
    "Speech",
    "StoredFile",
    "Timeline",
    "UInt8",
    "WhyNot",
]
