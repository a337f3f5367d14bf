"""`dubber train renderer`: the network of the hybrid renderer, from talking clips of many people.

Each clip teaches by itself: a frame's mouth is hidden and painted again from other frames of the clip.

Index letters: B batch, K exemplars, C channels, H height, W width, n lessons.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from dubber.engine.device import torch_threads
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.errors import ConfigError
from dubber.models.discriminator import Discriminator
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor
from dubber.models.learning import Painted, PaintingLoop, PaintingLosses, PaintingSchedule
from dubber.models.vgg import VggFeatures
from dubber.stages.painter_samples import (
    PainterBatch,
    PainterSamples,
    make_samples,
    paint_batch,
    psnr_of_lessons,
)
from dubber.stages.render import RenderParams
from dubber.stages.renderers.hybrid import WEIGHT
from dubber.training.dataset import ManifestRow, fitted_clip, provenance, read_manifest
from dubber.training.release import save_weight
from dubber.types import Float64

logger = logging.getLogger(__name__)

TRAIN_STAGE = "train renderer"
_LEAST_FRAMES = 25
_SHEET_LESSONS = 6

_APART_FRAMES = (6, 12, 12, 25, 60)
"""How far exemplars are kept from the frame that is painted, by chance: from half a second's neighbours to
footage that is far off."""


@dataclass(frozen=True)
class RendererTraining:
    """How to train.

    Attributes:
        num_exemplars: K.
        base_width: Of the U-Net.
        num_levels: Of the U-Net.
        batch_size: Lessons per step; all of one size.
        lessons_per_clip: At most so many frames of a clip are painted.
        lesson_share: And at most this share of its usable frames.
        mouth_weight: Extra weight of the pixels within the outer lips.
        losses: See `PaintingLosses`.
        schedule: See `PaintingSchedule`.
        vgg: File of a normalised VGG-19 for the perceptual loss; without it the discriminator's features are
            compared, if there is one.
    """

    num_exemplars: int = 4
    base_width: int = 24
    num_levels: int = 5
    batch_size: int = 8
    lessons_per_clip: int = 300
    lesson_share: float = 0.2
    mouth_weight: float = 1.0
    losses: PaintingLosses = field(default_factory=lambda: PaintingLosses(perceptual=0.1))
    schedule: PaintingSchedule = field(default_factory=lambda: PaintingSchedule(iterations=6000))
    vgg: Path | None = None

    def but(self, iterations: int | None, base_width: int | None) -> RendererTraining:
        """The same with other numbers of steps and channels, where they are given."""
        schedule = self.schedule if iterations is None else replace(self.schedule, iterations=iterations)
        return replace(self, schedule=schedule, base_width=base_width or self.base_width)


class Lessons:
    """Draws batches from the lessons of many clips; a person counts by the square root of their footage.

    Args:
        samples: Of each clip.
        speakers: Who is in it.
    """

    def __init__(self, samples: Sequence[PainterSamples], speakers: Sequence[str]) -> None:
        footage: dict[str, int] = defaultdict(int)
        for lessons, speaker in zip(samples, speakers, strict=True):
            footage[speaker] += len(lessons)
        groups: dict[tuple[int, ...], list[tuple[PainterSamples, float]]] = defaultdict(list)
        for lessons, speaker in zip(samples, speakers, strict=True):
            weight = len(lessons) / np.sqrt(footage[speaker])
            groups[lessons.pictures_nKHW3.shape[2:4]].append((lessons, float(weight)))
        self._groups = list(groups.values())
        self._weights = [np.array([weight for _, weight in group]) for group in self._groups]

    def draw(self, rng: np.random.Generator, count: int, mouth_weight: float) -> tuple[PainterBatch, float]:
        """A batch of lessons of one size, half of them mirrored, and its px per px of the 384 crop."""
        totals = np.array([weights.sum() for weights in self._weights])
        group = int(rng.choice(len(self._groups), p=totals / totals.sum()))
        weights: Float64 = self._weights[group]
        clips = rng.choice(len(weights), count, p=weights / weights.sum())
        parts = []
        for clip in clips.tolist():
            lessons = self._groups[group][clip][0]
            index, is_flipped = int(rng.integers(len(lessons))), bool(rng.random() < 0.5)
            parts.append(lessons.batch([index], [is_flipped], mouth_weight))
        batch = PainterBatch(
            np.concatenate([part.inputs_BHWC for part in parts]),
            np.concatenate([part.truth_BHW3 for part in parts]),
            np.concatenate([part.weight_BHW for part in parts]),
        )
        return batch, self._groups[group][0][0].unit_px


def train_renderer(
    samples: Sequence[PainterSamples],
    speakers: Sequence[str],
    folder: Path,
    *,
    settings: RendererTraining,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> HybridPainter:
    """Train the hybrid painter.

    Args:
        samples: Lessons of each clip.
        speakers: Who is in it.
        folder: Checkpoint, curve.csv and sheets; a run that finds its own goes on from there.
        settings: See `RendererTraining`.
        device: Where; the CPU by default.
        progress: Is told of each iteration.

    Returns:
        The moving average of the painter.

    Raises:
        ConfigError: There are no lessons.
        WeightsError: The VGG file is not what it should be.
    """
    if not samples:
        raise ConfigError("No clip shows a face for a second: there is nothing to learn from.")
    device, progress = device or torch.device("cpu"), progress or SilentProgress()
    lessons = Lessons(samples, speakers)
    torch.manual_seed(settings.schedule.seed)
    painter = HybridPainter(settings.num_exemplars, settings.base_width, settings.num_levels)
    vgg = None if settings.vgg is None else VggFeatures.from_file(settings.vgg)
    _say_what_is_looked_at(settings)

    def paint(net: nn.Module, rng: np.random.Generator) -> Painted:
        batch, unit_px = lessons.draw(rng, settings.batch_size, settings.mouth_weight)
        return paint_batch(net, batch, unit_px, device)

    critic = Discriminator(4, 1, settings.base_width, settings.num_levels)
    loop = PaintingLoop(
        folder, painter, paint, settings.losses, settings.schedule, device, critic=critic, vgg=vgg
    )
    progress.start(TRAIN_STAGE, settings.schedule.iterations)
    loop.run(
        progress,
        TRAIN_STAGE,
        on_save=lambda iteration: write_sheet(
            folder / f"sheet_{iteration:06d}.png", loop.average, samples, device
        ),
    )
    painter.load_state_dict(loop.average.state_dict())
    return painter.cpu().eval()


def _say_what_is_looked_at(settings: RendererTraining) -> None:
    if not settings.losses.perceptual:
        logger.info("No perceptual loss.")
    elif settings.vgg is not None:
        logger.info("Perceptual loss: features of %s.", settings.vgg)
    elif settings.losses.adversarial:
        logger.info("Perceptual loss: the discriminator's features.")
    else:
        logger.info("Neither VGG nor a discriminator: there is no perceptual loss.")


def write_sheet(path: Path, net: nn.Module, samples: Sequence[PainterSamples], device: torch.device) -> None:
    """Some lessons as a picture: best exemplar, what is shown of the source, painted, filmed."""
    step = max(1, len(samples) // _SHEET_LESSONS)
    rows = []
    for lessons in samples[::step][:_SHEET_LESSONS]:
        batch = lessons.batch([len(lessons) // 2], [False])
        with torch.inference_mode():
            painted = to_pictures(net(to_tensor(batch.inputs_BHWC).to(device)).picture_B3HW)[0]
        shown = batch.inputs_BHWC[0]
        pictures = [shown[..., :3], shown[..., -5:-2], painted, batch.truth_BHW3[0]]
        rows.append(np.concatenate([cv2.resize(picture, (288, 192)) for picture in pictures], axis=1))
    _, data = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def train_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: RendererTraining | None = None,
) -> dict[str, float]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker, and perhaps rights.
        out: Weights folder; lessons and checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `RendererTraining`.

    Returns:
        Measures: clips, speakers, lessons, and `painted_db`, the mean PSNR of the lower face over lessons of
        one clip of each speaker, with `exemplar_db`, that of the best exemplar.

    Raises:
        ConfigError: The manifest cannot be used.
        WeightsError: There is no face model yet, or the VGG file is not what it should be.
        OutputFolderError: The weights folder cannot be written.
    """
    progress, settings = progress or SilentProgress(), settings or RendererTraining()
    rows, samples = clip_samples(manifest, runtime, progress, settings)
    speakers = [row.speaker for row in rows]
    digest = hashlib.sha256(
        repr([(row.path.name, len(lessons)) for row, lessons in zip(rows, samples, strict=True)]).encode()
        + repr(settings).encode()
    ).hexdigest()[:12]
    device = runtime.device.torch_device()
    with torch_threads(runtime.threads):
        net = train_renderer(
            samples,
            speakers,
            runtime.cache_dir / "training" / "renderer" / digest,
            settings=settings,
            device=device,
            progress=progress,
        )
        lessons_of = dict(zip(speakers, samples, strict=True))
        measured = [psnr_of_lessons(net, lessons) for lessons in lessons_of.values()]
    people, rights = len(set(speakers)), provenance(row.rights for row in rows)
    entry = {
        "kind": "mouth renderer",
        "licence": "Apache-2.0",
        "is_commercial_use_allowed": True,
        "training_data": f"{len(rows)} talking clips of {people} people ({rights})",
        "recipe": "dubber train renderer --clips CSV" + (" --vgg FILE" if settings.vgg else ""),
        "description": f"Hybrid painter, {settings.num_exemplars} exemplars, width {settings.base_width}",
    }
    save_weight(out, WEIGHT, net.to_arrays(), entry)
    return {
        "train_clips": float(len(rows)),
        "train_speakers": float(people),
        "train_lessons": float(sum(len(lessons) for lessons in samples)),
        "painted_db": float(np.mean([painted for painted, _ in measured])),
        "exemplar_db": float(np.mean([exemplar for _, exemplar in measured])),
    }


def clip_samples(
    manifest: Path, runtime: Runtime, progress: Progress, settings: RendererTraining
) -> tuple[list[ManifestRow], list[PainterSamples]]:
    """Lessons of all training clips, made once and kept in the cache; clips without a face are left out.

    Raises:
        ConfigError: The manifest cannot be used.
        MediaError: A file is missing or damaged.
    """
    kept, found = [], []
    rows = read_manifest(manifest, "train")
    progress.start("lessons", len(rows))
    for row in rows:
        lessons = _samples_of(row, runtime, settings)
        if lessons is not None:
            kept.append(row)
            found.append(lessons)
        progress.advance("lessons")
    return kept, found


def _samples_of(row: ManifestRow, runtime: Runtime, settings: RendererTraining) -> PainterSamples | None:
    fitted = fitted_clip(row, runtime)
    if fitted is None:
        return None
    label = (fitted.key, settings.num_exemplars, settings.lessons_per_clip, settings.lesson_share)
    folder = lessons_folder(runtime, label)
    if (folder / "points.safetensors").exists():
        return PainterSamples.load(folder)
    track = fitted.track
    usable = np.flatnonzero(track.is_usable_T)
    if len(usable) < _LEAST_FRAMES:
        return None
    rng = np.random.default_rng(int(fitted.key[:8], 16))
    count = min(settings.lessons_per_clip, round(len(usable) * settings.lesson_share))
    frames = np.sort(rng.choice(usable, count, replace=False)).astype(np.int32)
    folder.mkdir(parents=True, exist_ok=True)
    samples = make_samples(
        StageContext(runtime, folder, folder, "lessons"),
        folder,
        fitted.video,
        fitted.clip,
        track,
        fitted.coeffs,
        frames,
        track.is_usable_T,
        rng.choice(_APART_FRAMES, count).astype(np.int32),
        params=RenderParams(),
        num_exemplars=settings.num_exemplars,
        seed=0,
    )
    (folder / "crops.raw").unlink(missing_ok=True)
    return samples


def lessons_folder(runtime: Runtime, label: tuple[object, ...]) -> Path:
    """Where the lessons of a clip lie in the cache.

    Args:
        runtime: Names the cache.
        label: What they were made from, and how.
    """
    digest = hashlib.sha256(repr(label).encode()).hexdigest()[:16]
    return runtime.cache_dir / "training" / "lessons" / digest
