"""Lessons for a painter of mouths: frames of a clip, and exemplars as it would be shown for them.

Index letters: n lessons, K exemplars, T source frames, H height, W width, C channels, M = 39 mouth and jaw
landmarks, A = 5 points along the nose's base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from dubber.engine.stage import StageContext
from dubber.models.hybrid import to_pictures, to_tensor
from dubber.models.learning import Painted
from dubber.ops.landmarks import NUM_MOUTH, NUM_MOUTH_JAW, NUM_NOSE_BASE
from dubber.ops.painter_input import lower_face, painter_input
from dubber.stages.mouth_geometry import source_geometry
from dubber.stages.render import RenderParams
from dubber.stages.render_job import make_job
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import source_pictures
from dubber.stages.renderers.exemplar import ExemplarSource, Shares
from dubber.types import Bool, Clip, FaceCoeffs, FaceTrack, Float32, Int32, RetimeMap, SourceFile, UInt8

_APART_FRAMES = 5
"""As at run time: exemplars of one frame are at least so far from each other."""

_AROUND = 0.1
"""What the pixels around the lower face count."""

_LOOK_BOX_PX = (80, 26, 208, 106)
"""Lips and what is around them, xyxy in the mouth window, px of the 384 crop: what VGG looks at. All of the
window would cost three times the painter."""


@dataclass(frozen=True)
class PainterSamples:
    """Lessons of one size, mostly of one clip; pictures stay on disk until they are asked for.

    Attributes:
        pictures_nKHW3: (n, 1 + K, H, W, 3) uint8 RGB: what was filmed, then the exemplars, best first.
        wanted_nM2: (n, M, 2) float32 px, the frame's own landmarks.
        other_nM2: (n, M, 2) float32 px, those of another frame: at run time the source frame's mouth is
            another than the wanted one, and both are hidden.
        nose_nA2: (n, A, 2) float32 px.
        unit_px: Pixels that a px of the 384 crop is.
    """

    pictures_nKHW3: UInt8
    wanted_nM2: Float32
    other_nM2: Float32
    nose_nA2: Float32
    unit_px: float

    def __len__(self) -> int:
        return len(self.pictures_nKHW3)

    @property
    def num_exemplars(self) -> int:
        """K."""
        return self.pictures_nKHW3.shape[1] - 1

    def subset(self, chosen: slice) -> PainterSamples:
        """Neighbouring lessons; their pictures stay on disk."""
        return PainterSamples(
            self.pictures_nKHW3[chosen],
            self.wanted_nM2[chosen],
            self.other_nM2[chosen],
            self.nose_nA2[chosen],
            self.unit_px,
        )

    def batch(
        self, indices: Sequence[int], is_flipped: Sequence[bool], mouth_weight: float = 0.0
    ) -> PainterBatch:
        """Put lessons together.

        Args:
            indices: Which.
            is_flipped: Of each, whether it is shown mirrored.
            mouth_weight: Extra weight of the pixels within the outer lips.
        """
        inputs, truths, weights = [], [], []
        for index, flip in zip(indices, is_flipped, strict=True):
            truth, *exemplars = np.asarray(self.pictures_nKHW3[index])
            size = truth.shape[0], truth.shape[1]
            wanted, nose = self.wanted_nM2[index], self.nose_nA2[index]
            shown = painter_input(exemplars, truth, wanted, self.other_nM2[index], nose, self.unit_px)
            weight = _AROUND + (1 - _AROUND) * lower_face(wanted, nose, size, self.unit_px)
            if mouth_weight:
                lips = lower_face(wanted[:NUM_MOUTH], nose, size, self.unit_px)
                weight = weight + mouth_weight * lips
            step = -1 if flip else 1
            inputs.append(shown[:, ::step])
            truths.append(truth[:, ::step])
            weights.append(weight[:, ::step])
        return PainterBatch(np.stack(inputs), np.stack(truths), np.stack(weights).astype(np.float32))

    @classmethod
    def load(cls, folder: Path) -> PainterSamples:
        """Read what `make_samples` wrote."""
        points = load_file(folder / "points.safetensors")
        return cls(
            np.load(folder / "pictures.npy", mmap_mode="r"),
            points["wanted_nM2"],
            points["other_nM2"],
            points["nose_nA2"],
            float(points["unit_px"]),
        )


@dataclass(frozen=True)
class PainterBatch:
    """Lessons side by side.

    Attributes:
        inputs_BHWC: (B, H, W, 3 K + 5) uint8, see `dubber.ops.painter_input`.
        truth_BHW3: (B, H, W, 3) uint8 RGB, what was filmed.
        weight_BHW: (B, H, W) float32, what each pixel counts.
    """

    inputs_BHWC: UInt8
    truth_BHW3: UInt8
    weight_BHW: Float32


def make_samples(
    ctx: StageContext,
    folder: Path,
    video: SourceFile,
    clip: Clip,
    track: FaceTrack,
    coeffs: FaceCoeffs,
    frames_n: Int32,
    lends_T: Bool,
    apart_n: Int32,
    *,
    params: RenderParams,
    num_exemplars: int,
    seed: int,
) -> PainterSamples:
    """Make lessons of a clip's frames, and write them.

    Args:
        ctx: Lends its folders; told of each lesson.
        folder: Made if absent; `PainterSamples.load` reads it.
        video: The footage.
        clip: What probing told.
        track: The tracked face.
        coeffs: Its head rotation is part of the search.
        frames_n: (n,) sorted usable source frames to be painted.
        lends_T: (T,) bool, frames that may be exemplars, at least one.
        apart_n: (n,) no exemplar is nearer in time than so many frames, unless there is no other. Frames
            beside each other look alike, and at run time there are none from beside.
        params: Of the renderer: crop size and search.
        num_exemplars: K.
        seed: Chooses the other mouths.

    Raises:
        MediaError: The video can no longer be read.
    """
    retime = RetimeMap(frames_n, np.zeros(len(frames_n), np.bool_))
    own_NM2 = source_geometry(track, coeffs, retime).landmarks_NM2
    job = make_job(ctx, params, video, clip, track, coeffs, retime, own_NM2)
    paths = _nearest_apart(
        job, np.flatnonzero(lends_T & job.lenders.may_lend_T).astype(np.int32), apart_n, num_exemplars
    )
    exemplars = ExemplarSource(job, paths)
    rng = np.random.default_rng(seed)
    other_T = rng.choice(np.flatnonzero(track.is_usable_T), len(frames_n))
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "pictures.part"
    shape = (len(frames_n), 1 + num_exemplars, *job.patch_size, 3)
    pictures = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        part, mode="w+", dtype=np.uint8, shape=shape
    )
    for n, truth in enumerate(source_pictures(job, range(len(frames_n)))):
        pictures[n] = [truth, *exemplars.patches(n)]
        ctx.advance()
    pictures.flush()
    del pictures
    part.rename(folder / "pictures.npy")
    points_nP2 = job.wanted_NP2
    part = folder / "points.part"
    save_file(
        {
            "wanted_nM2": points_nP2[:, :NUM_MOUTH_JAW].copy(),
            "other_nM2": job.lenders.landmarks(other_T)[:, :NUM_MOUTH_JAW].copy(),
            "nose_nA2": points_nP2[:, NUM_MOUTH_JAW : NUM_MOUTH_JAW + NUM_NOSE_BASE].copy(),
            "unit_px": np.array(job.unit_px),
        },
        part,
    )
    # The last file: where it is, the lessons are whole.
    part.rename(folder / "points.safetensors")
    return PainterSamples.load(folder)


def paint_batch(net: nn.Module, batch: PainterBatch, unit_px: float, device: torch.device) -> Painted:
    """Let a hybrid painter paint lessons.

    Args:
        net: A `HybridPainter`.
        batch: B lessons.
        unit_px: Pixels that a px of the 384 crop is.
        device: Where.
    """
    inputs = to_tensor(batch.inputs_BHWC).to(device)
    truth = to_tensor(batch.truth_BHW3).to(device)
    painting = net(inputs)
    x0, y0, x1, y1 = (round(edge * unit_px) for edge in _LOOK_BOX_PX)
    # Half of the batch is enough for a loss that costs as much as all others.
    looked = slice(0, max(1, len(truth) // 2))
    return Painted(
        picture_BCHW=painting.picture_B3HW,
        truth_BCHW=truth,
        weight_B1HW=torch.from_numpy(batch.weight_BHW)[:, None].to(device),
        mixture_BCHW=painting.mixture_B3HW,
        seen_BCHW=inputs[:, -1:],
        look_B3HW=painting.picture_B3HW[looked, :, y0:y1, x0:x1],
        look_truth_B3HW=truth[looked, :, y0:y1, x0:x1],
    )


def psnr_of_lessons(net: nn.Module, lessons: PainterSamples, count: int = 8) -> tuple[float, float]:
    """Mean PSNR, dB, of the painter and of the best exemplar, in the lower face, over some lessons."""
    painted_db, exemplar_db = [], []
    for index in np.linspace(0, len(lessons) - 1, min(count, len(lessons))).astype(int).tolist():
        batch = lessons.batch([index], [False])
        with torch.inference_mode():
            painted = to_pictures(net(to_tensor(batch.inputs_BHWC)).picture_B3HW)[0]
        is_face = batch.weight_BHW[0] > 0.5
        truth = batch.truth_BHW3[0][is_face]
        painted_db.append(_psnr_db(painted[is_face], truth))
        exemplar_db.append(_psnr_db(batch.inputs_BHWC[0, ..., :3][is_face], truth))
    return float(np.mean(painted_db)), float(np.mean(exemplar_db))


def _psnr_db(made: UInt8, truth: UInt8) -> float:
    squared = np.mean((made.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / max(squared, 1e-9)))


def _nearest_apart(job: RenderJob, bank_b: Int32, apart_n: Int32, count: int) -> list[list[Shares]]:
    """For each output frame the nearest mouths, away from it and from each other in time."""
    bank_bD = job.lenders.features(bank_b)
    wanted_nD = job.lenders.features(job.source_index_N)
    paths: list[list[Shares]] = [[] for _ in range(count)]
    for wanted_D, frame, apart in zip(wanted_nD, job.source_index_N, apart_n, strict=True):
        misfit_b = ((bank_bD - wanted_D) ** 2).sum(1)
        is_left_b = np.abs(bank_b - frame) >= apart
        is_left_b = is_left_b if is_left_b.any() else np.ones_like(is_left_b)
        for path in paths:
            chosen = int(bank_b[np.where(is_left_b, misfit_b, np.inf).argmin()])
            path.append({chosen: 1.0})
            are_others_b = is_left_b & (np.abs(bank_b - chosen) > _APART_FRAMES)
            is_left_b = are_others_b if are_others_b.any() else is_left_b
    return paths
