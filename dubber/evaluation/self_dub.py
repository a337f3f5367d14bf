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
from dubber.evaluation.metrics import mouth_box, psnr_db, ssim
from dubber.evaluation.motion import lagged_correlation, landmark_error_px
from dubber.evaluation.spoken import (
    Measures,
    heard_expression,
    loudness_measures,
    medians,
    shape_measures,
    trivial_expressions,
)
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.models.morphable import LinearFaceModel
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.ops.warp import sample_crop
from dubber.stages.blend import Blend
from dubber.stages.render import RenderParams, render_mouths
from dubber.stages.renderers import crop_of
from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker
from dubber.types import CROP_SIZE_PX, Bool, Float32, Mouths, UInt8

Drive = Literal["speech", "truth"]


def evaluate_clips(
    clips: Sequence[Path],
    *,
    drive: Drive,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    has_pictures: bool = True,
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

    Returns:
        {"clips": [{"clip", "drive", "renderer", "frames", "metrics", "baselines"}], "median",
        "median_baselines"}; "renderer" is None without pictures. Metrics are those of
        `spoken.shape_measures` and, with pictures, those of the finished ones.
        `mouth_psnr_db`, `mouth_ssim`: the finished picture in the 39 landmarks' box grown by a quarter, in
        the 384 crop. `remade_psnr_db`: there, over the pixels that dubber changed alone; the others are the
        filmed ones, which flatters the box. `patch_psnr_db`, `patch_ssim`: the renderer's whole patch in
        the box, before blending. `rendered_landmark_error_px`, `rendered_opening_correlation`:
        landmarks that a tracker finds in the finished picture, against those it finds in the filmed one.
        None where a measure has no meaning.

    Raises:
        DubberError: A clip cannot be measured; see the stages.
    """
    results = [_evaluate(path, drive, config, runtime, progress, has_pictures) for path in clips]
    return {
        "clips": results,
        "median": medians([result["metrics"] for result in results]),
        "median_baselines": {
            name: medians([result["baselines"][name] for result in results])
            for name in results[0]["baselines"]
        },
    }


def _evaluate(
    path: Path, drive: Drive, config: DubConfig, runtime: Runtime, progress: Progress, has_pictures: bool
) -> dict[str, Any]:
    footage = prepare(path, config, runtime, progress)
    model = LinearFaceModel.from_weight(runtime.weights.open("face_model"))
    driven = (
        heard_expression(footage, config, runtime, progress)
        if drive == "speech"
        else footage.true_expression_NK
    )
    measured = {}
    for name, expression in {"metrics": driven, **trivial_expressions(footage)}.items():
        measured[name] = shape_measures(footage, model, expression, config)
        if has_pictures:
            wanted_NM2 = on_own_heads(model, footage, expression)
            progress.start(f"{footage.name} {name}", len(wanted_NM2))
            measured[name] |= _measure_pictures(
                footage, wanted_NM2, config, runtime, progress, f"{footage.name} {name}"
            )
    return {
        "clip": footage.name,
        "drive": drive,
        "renderer": config.render.renderer if has_pictures else None,
        "frames": int(footage.is_measured_N.sum()),
        "metrics": measured.pop("metrics"),
        "baselines": {**measured, "loudness": loudness_measures(footage)},
    }


def _measure_pictures(
    footage: Footage,
    wanted_NM2: Float32,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    name: str,
) -> Measures:
    """Render, blend, and compare crop by crop."""
    truth_NM2 = footage.true_landmarks_NM2
    keys = ("mouth_psnr_db", "mouth_ssim", "remade_psnr_db", "patch_psnr_db", "patch_ssim")
    values: dict[str, list[float]] = {key: [] for key in keys}
    seen, filmed = [], []
    with (
        tempfile.TemporaryDirectory(prefix="dubber-") as folder,
        MediapipeMeshTracker() as made_tracker,
        MediapipeMeshTracker() as filmed_tracker,
    ):
        for pictures in _pictures(footage, wanted_NM2, config, runtime, Path(folder)):
            x0, y0, x1, y1 = mouth_box(truth_NM2[pictures.n])
            box = (slice(y0, y1), slice(x0, x1))
            made, truth, patch = pictures.made[box], pictures.filmed[box], pictures.patch[box]
            values["mouth_psnr_db"].append(psnr_db(made, truth))
            values["mouth_ssim"].append(ssim(made, truth))
            values["patch_psnr_db"].append(psnr_db(patch, truth))
            values["patch_ssim"].append(ssim(patch, truth))
            if (is_remade := pictures.is_remade_HW[box]).any():
                values["remade_psnr_db"].append(psnr_db(made[is_remade], truth[is_remade]))
            in_made = made_tracker.track(pictures.made, float(pictures.n))
            in_filmed = filmed_tracker.track(pictures.filmed, float(pictures.n))
            if in_made and in_filmed:
                seen.append(in_made[0].landmarks_L3[MOUTH_JAW, :2])
                filmed.append(in_filmed[0].landmarks_L3[MOUTH_JAW, :2])
            progress.advance(name)
    measures: Measures = {key: statistics.fmean(items) if items else None for key, items in values.items()}
    if seen:
        seen_NM2, filmed_NM2 = np.stack(seen), np.stack(filmed)
        measures["rendered_landmark_error_px"] = landmark_error_px(seen_NM2, filmed_NM2)
        correlation, _ = lagged_correlation(mouth_opening(seen_NM2), mouth_opening(filmed_NM2))
        measures["rendered_opening_correlation"] = correlation
    return measures


@dataclass(frozen=True)
class _Pictures:
    """One held-out frame: RGB crops of 384 px, where dubber changed the frame, and the frame's number."""

    made: UInt8
    filmed: UInt8
    patch: UInt8
    is_remade_HW: Bool
    n: int


def _pictures(
    footage: Footage, wanted_NM2: Float32, config: DubConfig, runtime: Runtime, folder: Path
) -> Iterator[_Pictures]:
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
    with (
        closing(read_frames_at(footage.video.path, clip, retime.source_index_N)) as filmed,
        closing(stream.open()) as finished,
        closing(read_patches([file.path for file in mouths.patches])) as patches,
    ):
        for n, (made, truth) in enumerate(zip(finished, filmed, strict=True)):
            if not mouths.has_patch_N[n]:
                continue
            similarity = track.similarity_T23[retime.source_index_N[n]]
            is_changed = np.asarray((made.y != truth.y) * 255, np.uint8)
            yield _Pictures(
                made=crop_of(made, similarity, CROP_SIZE_PX),
                filmed=crop_of(truth, similarity, CROP_SIZE_PX),
                patch=sample_crop(next(patches), (0, 0), _to_crop(mouths.size_px), CROP_SIZE_PX),
                is_remade_HW=sample_crop(is_changed, (0, 0), similarity, CROP_SIZE_PX) > 127,
                n=n,
            )


def _to_crop(size_px: int) -> Float32:
    """Similarity from a patch to the 384 crop."""
    return np.asarray(np.eye(2, 3) * (CROP_SIZE_PX / size_px), np.float32)
