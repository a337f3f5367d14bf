"""Self-dub: a clip is dubbed with its own speech and compared with itself.

The last quarter is held out (`dubber.evaluation.footage`). Its frames are made again and compared with what
was filmed, and so are the trivial answers of `dubber.evaluation.spoken`.

Index letters: N held-out frames, M = 39 mouth and jaw landmarks, K coefficients.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.evaluation.footage import Footage, on_own_heads, prepare
from dubber.evaluation.measures import Measures, medians
from dubber.evaluation.metrics import psnr_db, ssim
from dubber.evaluation.pairs import Pair, PairMeasure, steady_boxes
from dubber.evaluation.pictures import Detail, Fidelity, Flicker, Seam, SeenMouth
from dubber.evaluation.spoken import (
    heard_expression,
    loudness_measures,
    motion_without_sound,
    shape_measures,
    trivial_expressions,
)
from dubber.evaluation.user_networks import UserNetworks
from dubber.media.audio import read_speech
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.models.morphable import LinearFaceModel
from dubber.ops.align import invert_similarity
from dubber.ops.warp import sample_crop
from dubber.stages.blend import Blend
from dubber.stages.fit import FACE_MODEL
from dubber.stages.mouth_geometry import patch_similarity
from dubber.stages.render import RenderParams, render_mouths
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Float32, Mouths, UInt8

Drive = Literal["speech", "truth"]


def evaluate_clips(
    clips: Sequence[Path],
    *,
    drive: Drive,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    has_pictures: bool = True,
    networks: UserNetworks | None = None,
) -> dict[str, Any]:
    """Measure self-dubs.

    Args:
        clips: Talking clips with their own sound.
        drive: "speech": the clip's own voice through the translator. "truth": the clip's own expression,
            which gives the tracked landmarks and leaves the renderer alone to be measured.
        config: Parameters of all stages.
        runtime: Device, cache and weights.
        progress: Is told how far each clip is.
        has_pictures: Whether to render and compare pictures; without, a clip takes seconds.
        networks: Measures of pictures that need a network of the user's.

    Returns:
        {"clips": [{"clip", "drive", "renderer", "frames", "metrics", "baselines"}], "median",
        "median_baselines"}; "renderer" is None without pictures. Metrics are those of
        `spoken.shape_measures`, driven by speech also `motion_without_sound`, and with pictures those of
        `dubber.evaluation.pictures` on the finished frames, before any encode. `remade_psnr_db`: in the mouth
        box over the pixels that dubber changed alone; the others are the filmed ones, which flatters the
        box. `patch_psnr_db`, `patch_ssim`: the renderer's patch in the box, before blending. None
        where a measure has no meaning.

    Raises:
        WeightsError: A network's file is not what it should be.
        DubberError: A clip cannot be measured; see the stages.
    """
    networks = networks or UserNetworks()
    networks.check()
    settings = _Settings(drive, config, runtime, progress, networks, has_pictures)
    results = [_evaluate(path, settings) for path in clips]
    return {
        "clips": results,
        "median": medians([result["metrics"] for result in results]),
        "median_baselines": {
            name: medians([result["baselines"][name] for result in results])
            for name in results[0]["baselines"]
        },
    }


@dataclass(frozen=True)
class _Settings:
    """What is the same for all clips; see `evaluate_clips`."""

    drive: Drive
    config: DubConfig
    runtime: Runtime
    progress: Progress
    networks: UserNetworks
    has_pictures: bool


def _evaluate(path: Path, settings: _Settings) -> dict[str, Any]:
    config, runtime, progress = settings.config, settings.runtime, settings.progress
    footage = prepare(path, config, runtime, progress)
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    driven_NK = footage.true_expression_NK
    if settings.drive == "speech":
        driven_NK = heard_expression(footage, config, runtime, progress)
    measured: dict[str, Measures] = {}
    for name, expression in {"metrics": driven_NK, **trivial_expressions(footage)}.items():
        measured[name] = shape_measures(footage, model, expression, config)
        if settings.has_pictures:
            wanted_NM2 = on_own_heads(model, footage, expression)
            measured[name] |= _measure_pictures(footage, wanted_NM2, settings, f"{footage.name} {name}")
    if settings.drive == "speech":
        without_sound = motion_without_sound(footage, model, config, runtime, progress)
        measured["metrics"]["motion_without_sound"] = without_sound
    return {
        "clip": footage.name,
        "drive": settings.drive,
        "renderer": config.render.renderer if settings.has_pictures else None,
        "frames": int(footage.is_measured_N.sum()),
        "metrics": measured.pop("metrics"),
        "baselines": {**measured, "loudness": loudness_measures(footage)},
    }


def _measure_pictures(footage: Footage, wanted_NM2: Float32, settings: _Settings, name: str) -> Measures:
    """Render, blend, and compare frame by frame."""
    config, runtime, progress = settings.config, settings.runtime, settings.progress
    progress.start(name, len(wanted_NM2))
    samples_S = read_speech(footage.speech)
    with (
        tempfile.TemporaryDirectory(prefix="dubber-") as folder,
        SeenMouth(footage.is_silent_T(config.translate.min_gap_s), footage.timeline.times_s_N) as seen,
    ):
        remade = _Remade()
        over_pairs: list[PairMeasure] = [Fidelity(), Detail(), Seam(), Flicker(), seen]
        over_pairs += settings.networks.measures(samples_S, samples_S)
        for pair in _pairs(footage, wanted_NM2, config, runtime, Path(folder)):
            for measure in over_pairs:
                measure.add(pair)
            remade.add(pair)
            progress.advance(name)
    found = {key: value for measure in over_pairs for key, value in measure.measures().items()}
    return {**found, **remade.measures()}


@dataclass(frozen=True)
class _SelfPair(Pair):
    """A pair of which more is known.

    Attributes:
        patch: (384, 384, 3) uint8 RGB, the renderer's patch in its place in the crop, before blending.
        is_remade_HW: (384, 384) bool, where dubber changed the crop.
    """

    patch: UInt8
    is_remade_HW: Bool


class _Remade:
    """Fidelity of what was made anew: the pixels that were changed, and the bare patch, in the mouth box."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {"remade_psnr_db": [], "patch_psnr_db": [], "patch_ssim": []}

    def add(self, pair: _SelfPair) -> None:
        """Compare a frame."""
        rows, columns = pair.mouth_box
        made, filmed = pair.made_crop[rows, columns], pair.filmed_crop[rows, columns]
        is_remade_HW = pair.is_remade_HW[rows, columns]
        left, top, right, bottom = MOUTH_WINDOW
        rendered = (
            slice(max(rows.start, top), min(rows.stop, bottom)),
            slice(max(columns.start, left), min(columns.stop, right)),
        )
        patch, filmed_patch = pair.patch[rendered], pair.filmed_crop[rendered]
        self._values["patch_psnr_db"].append(psnr_db(patch, filmed_patch))
        self._values["patch_ssim"].append(ssim(patch, filmed_patch))
        if is_remade_HW.any():
            self._values["remade_psnr_db"].append(psnr_db(made[is_remade_HW], filmed[is_remade_HW]))

    def measures(self) -> Measures:
        """Means over frames."""
        return {name: statistics.fmean(values) if values else None for name, values in self._values.items()}


def _pairs(
    footage: Footage, wanted_NM2: Float32, config: DubConfig, runtime: Runtime, folder: Path
) -> Iterator[_SelfPair]:
    """Render and blend the held-out frames."""
    (folder / "entry").mkdir()
    (folder / "work").mkdir()
    # The measuring loop counts the frames; the stages' own counts would mix with it.
    context = StageContext(runtime, folder / "entry", folder / "work", "render")
    params: RenderParams = config.render.model_copy(
        update={"held_out_from_frame": footage.held_out_from_frame}
    )
    retime, clip, track = footage.retime, footage.clip, footage.track
    mouths: Mouths = render_mouths(
        context, params, footage.video, clip, track, footage.coeffs, retime, wanted_NM2
    )
    stream = Blend(config.blend).run(context, footage.video, clip, track, retime, mouths)
    boxes_T4 = steady_boxes(track)
    with (
        closing(read_frames_at(footage.video.path, clip, retime.source_index_N)) as filmed,
        closing(stream.open()) as finished,
        closing(read_patches([file.path for file in mouths.patches])) as patches,
    ):
        for n, (made, truth) in enumerate(zip(finished, filmed, strict=True)):
            if not mouths.has_patch_N[n]:
                continue
            index = int(retime.source_index_N[n])
            is_changed = np.asarray((made.y != truth.y) * 255, np.uint8)
            yield _SelfPair(
                n=index,
                time_s=float(clip.times_s_T[index]),
                made=made.rgb(),
                filmed=truth.rgb(),
                similarity_23=track.similarity_T23[index],
                landmarks_L3=track.landmarks_TL3[index],
                box_4=boxes_T4[index],
                patch=sample_crop(next(patches), (0, 0), _to_crop(mouths.crop_size_px), CROP_SIZE_PX),
                is_remade_HW=sample_crop(is_changed, (0, 0), track.similarity_T23[index], CROP_SIZE_PX) > 127,
            )


def _to_crop(crop_size_px: int) -> Float32:
    """Similarity from a patch to the 384 crop."""
    return invert_similarity(patch_similarity(np.eye(2, 3, dtype=np.float32), crop_size_px))
