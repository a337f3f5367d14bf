"""`dubber train renderer --renderer unet`: EBT's neural video rendering network, as printed.

The mouth's window is filled with noise in seven consecutive frames, and the network paints all seven from the
surroundings and the landmarks. What a mouth looks like it must remember.

Index letters: B batch, n frames of a clip, T frames of a window in time, S side of the crop, M = 39 mouth and
jaw landmarks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from dubber.engine.device import torch_threads
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.errors import ConfigError
from dubber.models.discriminator import Discriminator
from dubber.models.frame_painter import FRAME_CHANNELS, FramePainter
from dubber.models.learning import PAPER_LOSSES, Painted, PaintingLoop, PaintingLosses, PaintingSchedule
from dubber.models.vgg import VggFeatures
from dubber.ops.landmarks import NUM_MOUTH_JAW
from dubber.stages.mouth_geometry import source_geometry
from dubber.stages.render import RenderParams
from dubber.stages.render_job import make_job
from dubber.stages.renderers.crops import source_pictures
from dubber.stages.renderers.unet import WEIGHT, painter_input, window_slices
from dubber.training.dataset import FittedClip, fitted_clip, provenance, read_manifest
from dubber.training.release import save_weight
from dubber.training.renderer import TRAIN_STAGE, lessons_folder
from dubber.types import Float32, Int32, RetimeMap, UInt8

_AROUND = 0.1
"""What the pixels around the window count."""

_PERCEPTUAL = 0.1
"""What VGG's features count beside the compact recipe's L1: as in the hybrid painter's recipe."""


@dataclass(frozen=True)
class LiteralTraining:
    """How to train.

    Attributes:
        base_width: Of the U-Net; EBT: 64.
        num_levels: Of the U-Net.
        num_frames: T.
        run_frames: Consecutive frames that are kept together.
        runs_per_clip: At most so many runs are taken from a clip.
        losses: See `PaintingLosses`.
        schedule: See `PaintingSchedule`.
        vgg: File of a normalised VGG-19; without it the discriminator's features are compared, if there is
            one.
    """

    base_width: int = 16
    num_levels: int = 7
    num_frames: int = 7
    run_frames: int = 21
    runs_per_clip: int = 8
    losses: PaintingLosses = field(default_factory=PaintingLosses)
    schedule: PaintingSchedule = field(default_factory=lambda: PaintingSchedule(iterations=10000))
    vgg: Path | None = None

    @classmethod
    def paper(cls) -> LiteralTraining:
        """The widths, losses and rates of the papers (method.md section 5); for a GPU."""
        schedule = PaintingSchedule(iterations=100_000, betas=(0.5, 0.999), weight_decay=0.0)
        return cls(base_width=64, losses=PAPER_LOSSES, schedule=schedule)

    def looking(self, vgg: Path | None) -> LiteralTraining:
        """The same with the features of a VGG file, if there is one, compared."""
        losses = self.losses
        if vgg is not None and not losses.perceptual:
            losses = replace(losses, perceptual=_PERCEPTUAL)
        return replace(self, losses=losses, vgg=vgg)

    def but(self, iterations: int | None, base_width: int | None) -> LiteralTraining:
        """The same with other numbers of steps and channels, where they are given."""
        schedule = self.schedule if iterations is None else replace(self.schedule, iterations=iterations)
        return replace(self, schedule=schedule, base_width=base_width or self.base_width)


@dataclass(frozen=True)
class CropRuns:
    """Runs of consecutive whole crops of one clip; pictures stay on disk until they are asked for.

    Attributes:
        crops_nSS3: (n, S, S, 3) uint8 RGB, run after run.
        landmarks_nM2: (n, M, 2) float32 px of the crop.
        run_frames: Frames of a run.
    """

    crops_nSS3: UInt8
    landmarks_nM2: Float32
    run_frames: int

    @property
    def num_runs(self) -> int:
        """Whole runs."""
        return len(self.crops_nSS3) // self.run_frames


def make_runs(fitted: FittedClip, runtime: Runtime, settings: LiteralTraining) -> CropRuns | None:
    """Cut runs out of a clip, spread evenly over it; made once and kept in the cache.

    Returns:
        None where the face is never seen for so long.
    """
    folder = lessons_folder(runtime, (fitted.key, "runs", settings.run_frames, settings.runs_per_clip))
    pictures, points = folder / "crops.npy", folder / "landmarks.safetensors"
    if not points.exists():
        frames = _run_frames(fitted, settings)
        if frames is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        retime = RetimeMap(frames, np.zeros(len(frames), np.bool_))
        own_NM2 = source_geometry(fitted.track, fitted.coeffs, retime).landmarks_NM2
        context = StageContext(runtime, folder, folder, "lessons")
        job = make_job(
            context, RenderParams(), fitted.video, fitted.clip, fitted.track, fitted.coeffs, retime, own_NM2
        )
        side = job.crop_size_px
        part = folder / "crops.part"
        crops = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            part, mode="w+", dtype=np.uint8, shape=(len(frames), side, side, 3)
        )
        for n, crop in enumerate(source_pictures(job, range(len(frames)), is_whole_crop=True)):
            crops[n] = crop
        crops.flush()
        del crops
        part.rename(pictures)
        landmarks = job.wanted_NP2[:, :NUM_MOUTH_JAW] + np.array(job.corner_xy, np.float32)
        part = folder / "landmarks.part"
        save_file({"landmarks_nM2": landmarks}, part)
        part.rename(points)
    return CropRuns(np.load(pictures, mmap_mode="r"), load_file(points)["landmarks_nM2"], settings.run_frames)


def _run_frames(fitted: FittedClip, settings: LiteralTraining) -> Int32 | None:
    length = settings.run_frames
    is_whole = np.convolve(fitted.track.is_usable_T, np.ones(length), "valid") == length
    same_shot = fitted.track.shot_id_T[length - 1 :] == fitted.track.shot_id_T[: len(is_whole)]
    starts = np.flatnonzero(is_whole & same_shot)
    if len(starts) == 0:
        return None
    count = min(settings.runs_per_clip, max(1, len(starts) // length))
    chosen = starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]
    return np.concatenate([np.arange(start, start + length) for start in chosen]).astype(np.int32)


def train_literal(
    runs: Sequence[CropRuns],
    folder: Path,
    *,
    settings: LiteralTraining,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> FramePainter:
    """Train the network.

    Args:
        runs: Of each clip.
        folder: Checkpoint and curve.csv; a run that finds its own goes on from there.
        settings: See `LiteralTraining`.
        device: Where; the CPU by default.
        progress: Is told of each iteration.

    Raises:
        ConfigError: There is nothing to learn from.
        WeightsError: The VGG file is not what it should be.
    """
    if not runs:
        raise ConfigError("No clip shows a face for a second: there is nothing to learn from.")
    device, progress = device or torch.device("cpu"), progress or SilentProgress()
    torch.manual_seed(settings.schedule.seed)
    painter = FramePainter(settings.num_frames, settings.base_width, settings.num_levels)
    vgg = None if settings.vgg is None else VggFeatures.from_file(settings.vgg)
    weights = np.sqrt([clip.num_runs for clip in runs])

    def paint(net: nn.Module, rng: np.random.Generator) -> Painted:
        clip = runs[int(rng.choice(len(runs), p=weights / weights.sum()))]
        start = int(rng.integers(clip.num_runs)) * clip.run_frames
        start += int(rng.integers(clip.run_frames - settings.num_frames + 1))
        return paint_window(net, clip, slice(start, start + settings.num_frames), painter, rng, device)

    critic = Discriminator(
        FRAME_CHANNELS * settings.num_frames, settings.num_frames, settings.base_width, settings.num_levels
    )
    loop = PaintingLoop(
        folder, painter, paint, settings.losses, settings.schedule, device, critic=critic, vgg=vgg
    )
    progress.start(TRAIN_STAGE, settings.schedule.iterations)
    loop.run(progress, TRAIN_STAGE)
    painter.load_state_dict(loop.average.state_dict())
    return painter.cpu().eval()


def paint_window(
    net: nn.Module,
    clip: CropRuns,
    frames: slice,
    like: FramePainter,
    rng: np.random.Generator,
    device: torch.device,
) -> Painted:
    """Let a painter paint consecutive frames of a clip.

    Args:
        net: What paints.
        clip: Its crops.
        frames: Which.
        like: Says what landmarks look like to the painter.
        rng: Makes the noise.
        device: Where.
    """
    crops, landmarks = np.array(clip.crops_nSS3[frames]), clip.landmarks_nM2[frames]
    seeds = rng.integers(2**31, size=len(crops)).tolist()
    seen = np.stack(
        [painter_input(*shown, *like.heatmap) for shown in zip(crops, landmarks, seeds, strict=True)]
    )
    inputs = torch.from_numpy(seen)[None].to(device)
    truth = torch.from_numpy(crops).permute(0, 3, 1, 2).float().to(device) / 127.5 - 1
    picture: Tensor = net(inputs)
    rows, columns = window_slices(crops.shape[1])
    weight = torch.full((1, 1, *crops.shape[1:3]), _AROUND, device=device)
    weight[..., rows, columns] = 1.0
    looked = slice(0, 1)
    return Painted(
        picture_BCHW=picture.flatten(1, 2),
        truth_BCHW=truth.flatten(0, 1)[None],
        weight_B1HW=weight,
        mixture_BCHW=None,
        seen_BCHW=inputs[:, :, 3],
        look_B3HW=(picture[0, looked, :, rows, columns] + 1) / 2,
        look_truth_B3HW=(truth[looked, :, rows, columns] + 1) / 2,
    )


def train_literal_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: LiteralTraining | None = None,
) -> dict[str, float]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker, and perhaps rights.
        out: Weights folder; crops and checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `LiteralTraining`.

    Returns:
        Measures: clips, speakers, runs, millions of parameters.

    Raises:
        ConfigError: The manifest cannot be used.
        WeightsError: There is no face model yet, or the VGG file is not what it should be.
        OutputFolderError: The weights folder cannot be written.
    """
    progress, settings = progress or SilentProgress(), settings or LiteralTraining()
    rows = read_manifest(manifest, "train")
    kept, runs = [], []
    progress.start("lessons", len(rows))
    for row in rows:
        fitted = fitted_clip(row, runtime)
        clip_runs = None if fitted is None else make_runs(fitted, runtime, settings)
        if clip_runs is not None:
            kept.append(row)
            runs.append(clip_runs)
        progress.advance("lessons")
    digest = hashlib.sha256(repr(([row.path.name for row in kept], settings)).encode()).hexdigest()[:12]
    with torch_threads(runtime.threads):
        net = train_literal(
            runs,
            runtime.cache_dir / "training" / "renderer" / f"unet-{digest}",
            settings=settings,
            device=runtime.device.torch_device(),
            progress=progress,
        )
    people, rights = len({row.speaker for row in kept}), provenance(row.rights for row in kept)
    entry = {
        "kind": "mouth renderer",
        "licence": "Apache-2.0",
        "is_commercial_use_allowed": True,
        "training_data": f"{len(kept)} talking clips of {people} people ({rights})",
        "recipe": "dubber train renderer --clips CSV --renderer unet"
        + (" --paper" if settings.losses == PAPER_LOSSES else "")
        + (" --vgg FILE" if settings.vgg else ""),
        "description": f"EBT's neural video rendering network, base width {settings.base_width}",
    }
    save_weight(out, WEIGHT, net.to_arrays(), entry)
    return {
        "train_clips": float(len(kept)),
        "train_speakers": float(people),
        "train_runs": float(sum(clip.num_runs for clip in runs)),
        "million_parameters": sum(parameter.numel() for parameter in net.parameters()) / 1e6,
    }
