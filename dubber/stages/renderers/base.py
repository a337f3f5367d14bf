"""What a renderer is given, and what it gives. Loaded only when a render stage runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from dubber.engine.stage import StageContext
from dubber.ops.align import apply_similarity
from dubber.ops.exemplar import HopCost, ShapeWeights, bank_subset, shape_features
from dubber.ops.landmarks import NUM_MOUTH_JAW
from dubber.ops.portions import picked
from dubber.stages.mouth_geometry import RENDERED_POINTS, patch_size
from dubber.stages.mouth_stream import Shown
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Clip, FaceTrack, Float32, Int32, Int64, StoredFile


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
class Lenders:
    """The source frames as lenders of mouths; a film of hours is looked up frame by frame, not held.

    Attributes:
        track: The tracked face.
        rotation_T3: (T, 3) head rotation of the source frames, axis-angle, radians.
        similarity_T23: (T, 2, 3) display px to patch px.
        may_lend_T: (T,) bool, frames that may lend their mouth.
        unit_px: Patch px that a px of the 384 crop is.
        search: Settings of the search for exemplars.
    """

    track: FaceTrack
    rotation_T3: Float32
    similarity_T23: Float32
    may_lend_T: Bool
    unit_px: float
    search: ExemplarSearch

    def landmarks(self, frames: Int32 | Sequence[int]) -> Float32:
        """(n, P, 2) tracked landmarks of frames, px of the patch: 39 of mouth and jaw, then the anchors."""
        chosen = np.asarray(frames, np.int32)
        points_nP2 = picked(self.track.landmarks_TL3, RENDERED_POINTS, chosen)[..., :2]
        return apply_similarity(self.similarity_T23[chosen], points_nP2)

    def features(self, frames: Int32) -> Float32:
        """(n, D) what is compared of frames; see `shape_features`."""
        mouths_nM2 = self.landmarks(frames)[:, :NUM_MOUTH_JAW] / np.float32(self.unit_px)
        return shape_features(mouths_nM2, self.rotation_T3[frames], self.search.shape)

    @cached_property
    def bank(self) -> tuple[Int32, Float32]:
        """(B,) int32 frames that are considered as exemplars, sorted; (B, D) their features."""
        frames_B = bank_subset(self.features, self.may_lend_T, self.search.bank_frames)
        return frames_B, self.features(frames_B)


@dataclass(frozen=True)
class RenderJob:
    """What a renderer is given: some consecutive output frames, counted from 0.

    Landmarks are in px of the patch, each in its own frame's crop.

    Attributes:
        video: The file.
        clip: What probing told.
        ctx: Lends weights, device, threads and folders.
        crop_size_px: Side of the whole crop at the patches' resolution.
        search: Settings of the search for exemplars.
        lenders: The footage's mouths.
        window_stride: Frames from one window of the `unet` renderer to the next.
        source_index_N: (N,) int32 source frame of each output frame.
        is_halfway_N: (N,) bool, the output frame lies between that one and the next.
        has_patch_N: (N,) bool.
        starts_anew_N: (N,) bool, the output frame does not continue the one before.
        similarity_N23: (N, 2, 3) display px to patch px.
        wanted_NP2: (N, P, 2) wanted landmarks: 39 of mouth and jaw, then anchors that stay.
        own_NM2: (N, 39, 2) where the source picture has mouth and jaw.
        rotation_N3: (N, 3) head rotation of the output frame, axis-angle, radians.
        painter: Weights of the hybrid painter that has learned the target; none: the shipped ones.
    """

    video: Path
    clip: Clip
    ctx: StageContext
    crop_size_px: int
    search: ExemplarSearch
    lenders: Lenders
    window_stride: int
    source_index_N: Int32
    is_halfway_N: Bool
    has_patch_N: Bool
    starts_anew_N: Bool
    similarity_N23: Float32
    wanted_NP2: Float32
    own_NM2: Float32
    rotation_N3: Float32
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
    """Makes mouth patches. Built from a `RenderJob` whenever some stretch of the output is begun.

    Those of the user's own also declare a `version`; see `dubber.stages.renderers.PatchRenderer`.
    """

    def paint(self, shown: Iterator[Shown]) -> Generator[Shown]:
        """The same output frames; those of the job's that have one with their patch.

        The bytes do not depend on the frame that is begun with.
        """
