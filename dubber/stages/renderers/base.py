"""What a renderer is given, and what it gives. Loaded only when a render stage runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from dubber.engine.stage import StageContext
from dubber.ops.exemplar import HopCost, ShapeWeights
from dubber.stages.mouth_geometry import patch_size
from dubber.stages.mouth_stream import Shown
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Clip, Float32, Int32, Int64, StoredFile


@dataclass(frozen=True)
class ExemplarSearch:
    """Settings of the exemplar renderer; see `dubber.stages.render.RenderParams`."""

    shape: ShapeWeights
    hop: HopCost
    num_candidates: int
    bank_frames: int
    dissolve_frames: int
    regularisation: float


@dataclass(frozen=True)
class RenderJob:
    """What a renderer is given. Landmarks in px of the patch, each in its own frame's crop.

    Attributes:
        video: The file.
        clip: What probing told.
        ctx: Lends weights, device, threads and folders.
        crop_size_px: Side of the whole crop at the patches' resolution.
        search: Settings of the search for exemplars.
        window_stride: Frames from one window of the `unet` renderer to the next.
        source_index_N: (N,) int32 source frame of each output frame.
        is_halfway_N: (N,) bool, the output frame lies between that one and the next.
        has_patch_N: (N,) bool.
        starts_anew_N: (N,) bool, the output frame does not continue the one before.
        similarity_N23: (N, 2, 3) display px to patch px.
        wanted_NP2: (N, P, 2) wanted landmarks: 39 of mouth and jaw, then anchors that stay.
        own_NM2: (N, 39, 2) where the source picture has mouth and jaw.
        rotation_N3: (N, 3) head rotation of the output frame, axis-angle, radians.
        similarity_T23: (T, 2, 3) display px to patch px, of the source frames.
        landmarks_TP2: (T, P, 2) tracked landmarks of the source frames, the same points.
        rotation_T3: (T, 3) head rotation of the source frames.
        is_exemplar_T: (T,) bool, frames that may lend their mouth.
        painter: Weights of the hybrid painter that has learned the target; none: the shipped ones.
    """

    video: Path
    clip: Clip
    ctx: StageContext
    crop_size_px: int
    search: ExemplarSearch
    window_stride: int
    source_index_N: Int32
    is_halfway_N: Bool
    has_patch_N: Bool
    starts_anew_N: Bool
    similarity_N23: Float32
    wanted_NP2: Float32
    own_NM2: Float32
    rotation_N3: Float32
    similarity_T23: Float32
    landmarks_TP2: Float32
    rotation_T3: Float32
    is_exemplar_T: Bool
    painter: tuple[StoredFile, ...] = ()

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) of the patches."""
        return patch_size(self.crop_size_px)

    @property
    def unit_px(self) -> float:
        """Patch px that a px of the 384 crop is."""
        return self.crop_size_px / CROP_SIZE_PX

    @property
    def corner_xy(self) -> tuple[int, int]:
        """Where the patch's upper left corner lies in the whole crop at the patches' resolution, px."""
        x, y = (edge * self.crop_size_px // CROP_SIZE_PX for edge in MOUTH_WINDOW[:2])
        return x, y

    def patched_frames(self) -> tuple[Int64, Bool]:
        """Output frames that have a patch, and whether each of them does not continue the one before."""
        frames = np.flatnonzero(self.has_patch_N)
        # A gap or a cut between two patches lies between the frames, not on them.
        starts = np.add.accumulate(self.starts_anew_N | ~self.has_patch_N)[frames]
        return frames, np.concatenate([[True], np.diff(starts) > 0])[: len(frames)]


class Renderer(Protocol):
    """Makes mouth patches.

    Attributes:
        is_own_pixels: Whether the patches are the source's own pixels, so that nothing need be blended.
    """

    is_own_pixels: ClassVar[bool]

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """The same output frames; those of the job's that have one with their patch.

        The bytes do not depend on the frame that is begun with.
        """
