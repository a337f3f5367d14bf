"""Self-dub: a clip is dubbed with its own speech and compared with itself.

The last quarter of the clip is held out: its frames lend no mouth, and the translator is calibrated without
them. The same frames are then made again and compared with what was filmed. Three trivial answers are
measured beside it: the mean mouth, the mouth frozen as it was last seen, and (for the opening's curve only)
the loudness of the voice.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.errors import ConfigError
from dubber.evaluation.metrics import lagged_correlation, landmark_error_px, mouth_box, psnr_db, ssim
from dubber.media.audio import read_speech
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.models.morphable import LinearFaceModel
from dubber.ops.align import apply_similarity
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.ops.silence import level_db
from dubber.ops.warp import sample_crop
from dubber.pipeline import DubPlan, plan_dub
from dubber.stages.blend import Blend
from dubber.stages.mouth_geometry import wanted_landmarks
from dubber.stages.render import RenderParams, render_mouths
from dubber.stages.renderers import crop_of
from dubber.stages.translate import Translate
from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker
from dubber.types import (
    CROP_SIZE_PX,
    Bool,
    Clip,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Float32,
    Mouths,
    RetimeMap,
    SourceFile,
    Speech,
    Timeline,
    UInt8,
)

HELD_OUT_SHARE = 0.25
"""Part of the clip, at its end, that is made again and compared."""

Drive = Literal["speech", "truth"]
Measures = dict[str, float | None]


@dataclass(frozen=True)
class Footage:
    """A clip with what the stages before the translator found, and where the held-out part begins."""

    name: str
    video: SourceFile
    clip: Clip
    speech: Speech
    timeline: Timeline
    track: FaceTrack
    coeffs: FaceCoeffs
    held_out_from_frame: int

    @property
    def known_track(self) -> FaceTrack:
        """The track as it is known: nothing of the held-out part is usable."""
        is_known_T = np.arange(self.clip.num_frames) < self.held_out_from_frame
        return dataclasses.replace(self.track, is_usable_T=self.track.is_usable_T & is_known_T)

    @property
    def retime(self) -> RetimeMap:
        """The held-out frames as output frames."""
        indices = np.arange(self.held_out_from_frame, self.clip.num_frames, dtype=np.int32)
        return RetimeMap(indices, np.zeros(len(indices), np.bool_))

    @property
    def is_measured_N(self) -> Bool:
        """(N,) bool, held-out frames with a usable face."""
        return self.track.is_usable_T[self.held_out_from_frame :]


def evaluate_clips(
    clips: Sequence[Path], *, drive: Drive, config: DubConfig, runtime: Runtime, progress: Progress
) -> dict[str, Any]:
    """Measure self-dubs.

    Args:
        clips: Talking clips with their own sound.
        drive: "speech": the clip's own voice through the translator. "truth": the tracked landmarks
            themselves, which leaves the renderer alone to be measured.
        config: Parameters of all stages.
        runtime: Device, cache and weights.
        progress: Is told how far each clip is.

    Returns:
        {"clips": [{"clip", "drive", "renderer", "frames", "metrics", "baselines"}], "median",
        "median_baselines"}.
        `mouth_psnr_db`, `mouth_ssim`: the finished picture in the 39 landmarks' box grown by a quarter, in
        the 384 crop. `remade_psnr_db`: there, over the pixels that dubber changed alone; the others are the
        filmed ones, which flatters the box. `patch_psnr_db`, `patch_ssim`: the renderer's whole patch in
        the box, before blending. `landmark_error_px`, `mouth_opening_correlation`, `av_lag_frames`: the
        landmarks asked of the renderer. `rendered_landmark_error_px`, `rendered_opening_correlation`:
        landmarks that a tracker finds in the finished picture, against those it finds in the filmed one.
        None where a measure has no meaning.

    Raises:
        DubberError: A clip cannot be measured; see the stages.
    """
    results = [_evaluate(path, drive, config, runtime, progress) for path in clips]
    return {
        "clips": results,
        "median": _medians([result["metrics"] for result in results]),
        "median_baselines": {
            name: _medians([result["baselines"][name] for result in results])
            for name in results[0]["baselines"]
        },
    }


def _evaluate(
    path: Path, drive: Drive, config: DubConfig, runtime: Runtime, progress: Progress
) -> dict[str, Any]:
    footage = _prepare(path, config, runtime, progress)
    model = LinearFaceModel.from_weight(runtime.weights.open("face_model"))
    wanted = {
        "metrics": _driven_landmarks(footage, drive, model, config, runtime, progress),
        "mean_mouth": _posed(model, footage, _known_expressions(footage).mean(axis=0)),
        "frozen": _posed(model, footage, _known_expressions(footage)[-1]),
    }
    measured = {}
    for name, wanted_NM2 in wanted.items():
        progress.start(f"{footage.name} {name}", len(wanted_NM2))
        measured[name] = _measure(footage, wanted_NM2, config, runtime, progress, f"{footage.name} {name}")
    return {
        "clip": footage.name,
        "drive": drive,
        "renderer": config.render.renderer,
        "frames": int(footage.is_measured_N.sum()),
        "metrics": measured.pop("metrics"),
        "baselines": {**measured, "loudness": _loudness(footage)},
    }


def _prepare(path: Path, config: DubConfig, runtime: Runtime, progress: Progress) -> Footage:
    one_to_one = config.with_overrides({"length.mode": "silence"})
    plan: DubPlan = plan_dub(one_to_one, path, path, runtime=runtime)
    run = Run(plan.plan, runtime, progress)
    progress.plan(["demux", "speech", "timeline", "track", "fit"])
    clip, track = run.get(plan.clip), run.get(plan.track)
    held_out = round(clip.num_frames * (1 - HELD_OUT_SHARE))
    if not track.is_usable_T[:held_out].any() or not track.is_usable_T[held_out:].any():
        raise ConfigError(
            "The clip shows no usable face in its first three quarters or in its last.",
            where=str(path),
            advice="Measure on a clip with a face throughout.",
        )
    return Footage(
        name=path.stem,
        video=run.get(plan.video),
        clip=clip,
        speech=run.get(plan.speech),
        timeline=run.get(plan.timeline),
        track=track,
        coeffs=run.get(plan.coeffs),
        held_out_from_frame=held_out,
    )


def _known_expressions(footage: Footage) -> Float32:
    """(n, K) fitted expressions of the frames that may be known, in order."""
    return footage.coeffs.expression_TK[footage.known_track.is_usable_T]


def _driven_landmarks(
    footage: Footage,
    drive: Drive,
    model: LinearFaceModel,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
) -> Float32:
    """(N, 39, 2) display px, what is asked of the renderer."""
    if drive == "truth":
        return footage.track.landmarks_TL3[footage.held_out_from_frame :, MOUTH_JAW, :2]
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        context = StageContext(runtime, Path(folder), Path(folder), "translate", progress)
        expression = Translate(config.translate).run(
            context, footage.speech, footage.timeline, footage.coeffs, footage.known_track, footage.clip
        )
    return _posed(model, footage, expression.expression_NK[footage.held_out_from_frame :])


def _posed(model: LinearFaceModel, footage: Footage, expression: Float32) -> Float32:
    """Landmarks of an expression, (K,) or (N, K), on the held-out frames' heads."""
    num_frames = len(footage.retime.source_index_N)
    expression_NK = np.broadcast_to(expression, (num_frames, expression.shape[-1])).astype(np.float32)
    track = ExpressionTrack(expression_NK, np.zeros(num_frames, np.bool_))
    return wanted_landmarks(model, footage.track, footage.coeffs, track, footage.retime)


def _loudness(footage: Footage) -> Measures:
    """How well the voice's loudness alone tells the mouth's opening."""
    samples = read_speech(footage.speech)
    level_F = level_db(samples)
    times_s_N = footage.timeline.times_s_N[footage.held_out_from_frame :]
    level_N = np.interp(times_s_N, np.arange(len(level_F)) / 100, level_F).astype(np.float32)
    is_measured_N = footage.is_measured_N
    correlation, lag = lagged_correlation(
        level_N[is_measured_N], mouth_opening(_true_landmarks(footage)[is_measured_N])
    )
    return {"mouth_opening_correlation": correlation, "av_lag_frames": lag}


def _true_landmarks(footage: Footage) -> Float32:
    """(N, 39, 2) px of the 384 crop."""
    start = footage.held_out_from_frame
    return apply_similarity(
        footage.track.similarity_T23[start:], footage.track.landmarks_TL3[start:, MOUTH_JAW, :2]
    )


def _measure(
    footage: Footage, wanted_NM2: Float32, config: DubConfig, runtime: Runtime, progress: Progress, name: str
) -> Measures:
    is_measured_N = footage.is_measured_N
    truth_NM2 = _true_landmarks(footage)
    asked_NM2 = apply_similarity(footage.track.similarity_T23[footage.held_out_from_frame :], wanted_NM2)
    correlation, lag = lagged_correlation(
        mouth_opening(asked_NM2[is_measured_N]), mouth_opening(truth_NM2[is_measured_N])
    )
    is_moving = bool(mouth_opening(asked_NM2[is_measured_N]).std() > 1e-3)
    return {
        "landmark_error_px": landmark_error_px(asked_NM2[is_measured_N], truth_NM2[is_measured_N]),
        "mouth_opening_correlation": correlation if is_moving else None,
        "av_lag_frames": lag if is_moving else None,
        **_measure_pictures(footage, wanted_NM2, truth_NM2, config, runtime, progress, name),
    }


def _measure_pictures(
    footage: Footage,
    wanted_NM2: Float32,
    truth_NM2: Float32,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    name: str,
) -> Measures:
    """Render, blend, and compare crop by crop."""
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


def _medians(rows: list[Measures]) -> Measures:
    """Median of each measure over the clips that have it."""
    found: Measures = {}
    for key in rows[0]:
        numbers = [value for row in rows if (value := row.get(key)) is not None]
        found[key] = statistics.median(numbers) if numbers else None
    return found
