"""Intermediates as files that a person can open: pictures, curves, tables, sound."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import OutputFolderError
from dubber.intermediates.drawing import (
    MESH_COLOR,
    OWN_COLOR,
    WANTED_COLOR,
    draw_outline,
    draw_points,
    write_png,
)
from dubber.intermediates.drawn_stages import around
from dubber.intermediates.sheets import stage_sheet
from dubber.media.encoding import EncodeOptions
from dubber.media.frame import Frame
from dubber.media.patches import read_patches
from dubber.media.probe import probe
from dubber.media.reader import read_frames_at
from dubber.media.writer import VideoWriter
from dubber.ops.align import apply_similarity, invert_similarity, scale_similarity
from dubber.ops.landmarks import mouth_opening
from dubber.pipeline import DubPlan
from dubber.stages.compositor import Compositor
from dubber.types import (
    CROP_SIZE_PX,
    Clip,
    DubbedVideo,
    FaceTrack,
    Float32,
    Float64,
    Mouths,
    RetimeMap,
    SourceFile,
    Timeline,
    UInt8,
)

NUM_SNAPSHOTS = 8
"""Overlay and patch pictures written, spread evenly over the clip."""

FINISHING = ("teeth", "deflicker")
"""Stages that rewrite patches, each with a sheet of its before and after."""

STRIP_FACE_PX = 192
"""Side of the faces in the before/after strip."""


def export(dub_plan: DubPlan, runtime: Runtime, folder: Path) -> None:
    """Write what each finished stage made; stages that are not in the cache are left out.

    Args:
        dub_plan: A plan that was run.
        runtime: Names the cache.
        folder: Made if absent; files of the same names are replaced. Of several speakers, the second one's
            files go into its folder `speaker_2`, and so on.

    Raises:
        OutputFolderError: The folder cannot be written.
    """
    for number in range(1, len(dub_plan.performances)):
        export(dub_plan.of_speaker(number), runtime, folder / f"speaker_{number + 1}")
    run = Run(dub_plan.plan, runtime)
    clip, track, coeffs = run.peek(dub_plan.clip), run.peek(dub_plan.track), run.peek(dub_plan.coeffs)
    speech, timeline = run.peek(dub_plan.speech), run.peek(dub_plan.timeline)
    expression, retime = run.peek(dub_plan.expression), run.peek(dub_plan.retime)
    mouths = run.peek(dub_plan.rendered)  # finishing changes nothing but the patches
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if clip is not None:
            _write_clip(clip, folder / "demux.json")
        if speech is not None:
            shutil.copyfile(speech.wav.path, folder / "speech.wav")
        if clip is not None and coeffs is not None:
            _write_curves(folder / "fit_expression", clip.times_s_T, "expression", coeffs.expression_TK)
            pose = np.concatenate(
                [coeffs.rotation_T3, coeffs.translation_T2, coeffs.scale_T[:, None]], axis=1
            )
            _write_curves(folder / "fit_pose", clip.times_s_T, "pose", pose)
            _write_curves(
                folder / "fit_residual_px", clip.times_s_T, "residual", coeffs.residual_px_T[:, None]
            )
        if timeline is not None and expression is not None:
            _write_curves(
                folder / "translate_expression", timeline.times_s_N, "expression", expression.expression_NK
            )
        if timeline is not None and retime is not None:
            indices = retime.source_index_N[:, None].astype(np.float32)
            _write_curves(folder / "retime_source_frame", timeline.times_s_N, "source_frame", indices)
        if timeline is not None and mouths is not None:
            _write_openings(folder / "render_mouth_opening_px", timeline, mouths)
        if mouths is not None:
            _write_patches(folder / "render", mouths)
        _write_finishing(folder, dub_plan, runtime, run)
        if clip is not None and track is not None and retime is not None and timeline is not None:
            source = run.get(dub_plan.video)
            compositor = Compositor(dub_plan.config.blend, track, retime, mouths) if mouths else None
            _write_overlay(folder, source, clip, track, timeline, retime, mouths, compositor)
            dubbed = run.peek(dub_plan.dubbed)
            if dubbed is not None:
                _write_strip(folder / "before_after.png", source, clip, track, retime, dubbed)
    except OSError as error:
        raise OutputFolderError(
            f"The intermediates cannot be written ({error.strerror}).",
            where=str(folder),
            advice="Choose another folder with `--keep-stages`.",
        ) from error


def _write_clip(clip: Clip, path: Path) -> None:
    document = {
        field.name: getattr(clip, field.name) for field in dataclasses.fields(clip) if field.name != "pts_T"
    }
    document |= {"num_frames": clip.num_frames, "duration_s": clip.duration_s, "frame_rate": clip.frame_rate}
    path.write_text(json.dumps(document, indent=2, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else dataclasses.asdict(value)


def _write_curves(stem: Path, times_s: Float64, name: str, values_TK: Float32) -> None:
    """One table and one picture of the same curves."""
    header = [f"{name}_{k}" for k in range(values_TK.shape[1])]
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time_s", *header])
        writer.writerows(
            [f"{time:.4f}", *(f"{value:.5g}" for value in row)]
            for time, row in zip(times_s, values_TK, strict=True)
        )
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    for k in range(min(values_TK.shape[1], 6)):
        axes.plot(times_s, values_TK[:, k], linewidth=1, label=header[k])
    axes.set_xlabel("time, s")
    axes.legend(loc="upper right", fontsize="small")
    FigureCanvasAgg(figure)
    figure.savefig(stem.with_suffix(".png"))


def _write_openings(stem: Path, timeline: Timeline, mouths: Mouths) -> None:
    wanted, own = mouth_opening(mouths.landmarks_NM2), mouth_opening(mouths.source_landmarks_NM2)
    _write_curves(stem, timeline.times_s_N, "wanted_and_own", np.stack([wanted, own], axis=1))


def _write_patches(stem: Path, mouths: Mouths) -> None:
    num_patches = int(mouths.has_patch_N.sum())
    chosen = set(_spread(num_patches))
    for index, patch in enumerate(read_patches([file.path for file in mouths.patches])):
        if index in chosen:
            write_png(stem.with_name(f"{stem.name}_{index:05d}.png"), patch)


def _write_finishing(folder: Path, dub_plan: DubPlan, runtime: Runtime, run: Run) -> None:
    """Before and after of the stages that rewrite patches."""
    for stage in FINISHING:
        if stage not in dub_plan.plan.stage_names():
            continue
        before, after = (run.peek(ref) for ref in around(dub_plan, stage))
        if before is not None and after is not None and after.has_patch_N.any():
            sheet = stage_sheet(stage, dub_plan, runtime, SilentProgress(), num_frames=NUM_SNAPSHOTS)
            write_png(folder / f"{stage}.png", sheet)


def _write_overlay(
    folder: Path,
    source: SourceFile,
    clip: Clip,
    track: FaceTrack,
    timeline: Timeline,
    retime: RetimeMap,
    mouths: Mouths | None,
    compositor: Compositor | None,
) -> None:
    """Video and pictures: the source, mesh (blue), own (orange) and wanted mouth (green), mask (white)."""
    chosen = set(_spread(timeline.num_frames))
    frames = read_frames_at(source.path, clip, retime.source_index_N)
    options = EncodeOptions(crf=20, preset="veryfast")
    with VideoWriter(
        folder / "track_overlay.mp4", clip, timeline.time_base, options, end_pts=timeline.end_pts
    ) as writer:
        for n, frame in enumerate(frames):
            rgb = frame.rgb()
            t = int(retime.source_index_N[n])
            if track.is_usable_T[t]:
                draw_points(rgb, track.landmarks_TL3[t, :, :2], MESH_COLOR)
            if mouths is not None and mouths.has_patch_N[n]:
                back = invert_similarity(mouths.similarity_N23[n])
                draw_points(rgb, apply_similarity(back, mouths.source_landmarks_NM2[n]), OWN_COLOR)
                draw_points(rgb, apply_similarity(back, mouths.landmarks_NM2[n]), WANTED_COLOR)
                if compositor is not None and not mouths.is_own_pixels:
                    draw_outline(rgb, *compositor.mask(n, frame.size))
            if n in chosen:
                write_png(folder / f"track_overlay_{n:05d}.png", rgb)
            writer.write(_painted(frame, rgb), int(timeline.pts_N[n]))


def _write_strip(
    path: Path, source: SourceFile, clip: Clip, track: FaceTrack, retime: RetimeMap, dubbed: DubbedVideo
) -> None:
    """Source frames above, the same moments of the output below, cut to the aligned face."""
    chosen = np.array(_spread(dubbed.num_frames), np.int32)
    sources = retime.source_index_N[chosen]
    # Display order of read_frames_at is the order of the indices, so the two rows stay in step.
    before = [frame.rgb() for frame in read_frames_at(source.path, clip, sources)]
    after = [frame.rgb() for frame in read_frames_at(dubbed.file.path, probe(dubbed.file.path), chosen)]
    rows = []
    for pictures in (before, after):
        crops = []
        for rgb, t in zip(pictures, sources, strict=True):
            matrix = scale_similarity(track.similarity_T23[t], STRIP_FACE_PX / CROP_SIZE_PX)
            crops.append(cv2.warpAffine(rgb, matrix, (STRIP_FACE_PX, STRIP_FACE_PX), flags=cv2.INTER_AREA))
        rows.append(np.concatenate(crops, axis=1))
    write_png(path, np.concatenate(rows))


def _painted(frame: Frame, rgb: UInt8) -> Frame:
    height, width = frame.size
    return frame.replace_box((0, 0, width, height), rgb, np.ones((height, width), np.bool_))


def _spread(count: int) -> list[int]:
    """Up to `NUM_SNAPSHOTS` indices, evenly over `count`."""
    return sorted({int(i) for i in np.linspace(0, count - 1, NUM_SNAPSHOTS)}) if count else []
