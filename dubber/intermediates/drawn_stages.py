"""How each stage is drawn: what it saw and what it made.

Index letters: N output frames, T source frames, n chosen frames.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
from matplotlib.figure import Figure

from dubber.engine.plan import Ref
from dubber.evaluation.quality import measure_quality
from dubber.intermediates.drawing import (
    MESH_COLOR,
    OWN_COLOR,
    WANTED_COLOR,
    contact_sheet,
    difference,
    draw_points,
)
from dubber.intermediates.figures import picture_of
from dubber.intermediates.look import Look, face_window
from dubber.intermediates.sync_sheet import draw_sync
from dubber.media.audio import read_speech
from dubber.media.reader import read_frames_at
from dubber.models.morphable import TRACKER, TRACKER_VERTICES, LinearFaceModel, project_TL2
from dubber.ops.align import apply_similarity, scale_similarity
from dubber.ops.landmarks import NUM_MOUTH, mouth_opening
from dubber.ops.warp import sample_patch
from dubber.pipeline import DubPlan
from dubber.stages.compositor import Compositor
from dubber.stages.fit import FACE_MODEL
from dubber.types import Float32, Mouths, UInt8

_CHANGE_GAIN = 6.0
"""How much the pictures of a difference are amplified."""

_SLICE_FRAMES = 240

_SLICE_ROW_PX = 3
"""Frames that a slice through time shows at most, and how high each is."""

_CURVES_SHOWN = 4

_UNMOVED_23: Float32 = np.eye(2, 3, dtype=np.float32)


def around(dub_plan: DubPlan, stage: str) -> tuple[Ref[Mouths], Ref[Mouths]]:
    """The patches that a finishing stage takes and those that it makes, of the first speaker."""
    return {
        "teeth": (dub_plan.rendered, dub_plan.toothed),
        "deflicker": (dub_plan.toothed, dub_plan.mouths),
    }[stage]


def _track(look: Look) -> UInt8:
    track = look.run.get(look.dub.track)
    rows = []
    for t, picture in look.usable_frames():
        similarity_23, size = face_window(track.boxes_T4[t])
        face = sample_patch(picture, (0, 0), similarity_23, size)
        mesh = face.copy()
        draw_points(mesh, apply_similarity(similarity_23, track.landmarks_TL3[t, :, :2]), MESH_COLOR)
        rows.append((f"source {t}", [face, mesh]))
    return contact_sheet(rows, ["source", "468 landmarks"])


def _fit(look: Look) -> UInt8:
    track, coeffs = look.run.get(look.dub.track), look.run.get(look.dub.coeffs)
    model = LinearFaceModel.from_weight(look.runtime.weights.open(FACE_MODEL))
    tracked, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
    rows = []
    for t, picture in look.usable_frames():
        pose = (coeffs.rotation_T3[[t]], coeffs.scale_T[[t]], coeffs.translation_T2[[t]])
        fitted_P2 = project_TL2(model, coeffs.identity_K, coeffs.expression_TK[[t]], *pose, vertices)[0]
        similarity_23, size = face_window(track.boxes_T4[t])
        seen, made = (sample_patch(picture, (0, 0), similarity_23, size) for _ in range(2))
        draw_points(seen, apply_similarity(similarity_23, track.landmarks_TL3[t, tracked, :2]), MESH_COLOR)
        draw_points(made, apply_similarity(similarity_23, fitted_P2), WANTED_COLOR)
        rows.append((f"source {t}  {coeffs.residual_px_T[t]:.1f} px", [seen, made]))
    return contact_sheet(rows, ["tracked", "face model"])


def _translate(look: Look) -> UInt8:
    speech, timeline = look.run.get(look.dub.speech), look.run.get(look.dub.timeline)
    expression, coeffs = look.run.get(look.dub.expression), look.run.get(look.dub.coeffs)
    own_nK = coeffs.expression_TK[look.run.get(look.dub.track).is_usable_T]
    figure = Figure(figsize=(16, 10), layout="constrained")
    wave, *curves = figure.subplots(1 + _CURVES_SHOWN, 1, sharex=True)
    samples_S = read_speech(speech)
    wave.plot(np.arange(len(samples_S)) / speech.sample_rate_hz, samples_S, linewidth=0.3)
    wave.set_title("the new speech")
    times_s_N = timeline.times_s_N
    for k, axes in enumerate(curves):
        low, high = np.percentile(own_nK[:, k], [5, 95])
        axes.axhspan(low, high, alpha=0.15)
        axes.plot(times_s_N, expression.expression_NK[:, k], linewidth=1)
        axes.fill_between(
            times_s_N,
            0,
            1,
            where=expression.is_silent_N,
            transform=axes.get_xaxis_transform(),
            alpha=0.1,
            color="k",
        )
        axes.set_ylabel(f"expression {k}")
    curves[0].set_title("wanted expression; band: 5 to 95 % of the clip's own; grey: silence")
    curves[-1].set_xlabel("time, s")
    return picture_of(figure)


def _retime(look: Look) -> UInt8:
    clip, timeline = look.run.get(look.dub.clip), look.run.get(look.dub.timeline)
    retime, mouths = look.run.get(look.dub.retime), look.mouths
    figure = Figure(figsize=(16, 10), layout="constrained")
    where, openings = figure.subplots(2, 1, sharex=True)
    where.plot(timeline.times_s_N, clip.times_s_T[retime.source_index_N], linewidth=1)
    halfway_N = np.flatnonzero(retime.is_halfway_N)
    where.plot(
        timeline.times_s_N[halfway_N], clip.times_s_T[retime.source_index_N[halfway_N]], "|", markersize=8
    )
    where.set_title("source time of each output frame; ticks: half-way pictures")
    where.set_ylabel("source, s")
    # Where there is no patch the landmarks mean nothing.
    shown_N = np.where(mouths.has_patch_N, 1.0, np.nan)
    for name, landmarks_NM2 in (
        ("wanted", mouths.landmarks_NM2),
        ("own, of the chosen frames", mouths.source_landmarks_NM2),
    ):
        openings.plot(timeline.times_s_N, shown_N * mouth_opening(landmarks_NM2), linewidth=1, label=name)
    openings.set_title("the mouth's opening, px of the patch")
    openings.set_xlabel("time, s")
    openings.legend(loc="upper right")
    return picture_of(figure)


def _render(look: Look) -> UInt8:
    mouths, chosen_n = look.mouths, look.chosen_n
    rows = []
    patches = look.patches(look.dub.rendered, chosen_n)
    for n, picture, patch in zip(chosen_n.tolist(), look.sources(chosen_n), patches, strict=True):
        source = look.close_up(picture, n)
        marked = source.copy()
        draw_points(marked, mouths.source_landmarks_NM2[n] * look.zoom, OWN_COLOR)
        draw_points(marked, mouths.landmarks_NM2[n] * look.zoom, WANTED_COLOR)
        rows.append((look.name(n), [source, marked, look.enlarged(patch)]))
    return contact_sheet(rows, ["source", "own mouth (orange), wanted (green)", f"patch: {mouths.renderer}"])


def _teeth(look: Look) -> UInt8:
    """Frames with open mouths: there are no teeth to be seen in the others."""
    opening_n = mouth_opening(look.mouths.landmarks_NM2[look.whole_n])
    chosen_n = look.spread(look.whole_n[opening_n >= np.median(opening_n)])
    rows = []
    patches = (look.patches(ref, chosen_n) for ref in around(look.dub, "teeth"))
    for n, before, after in zip(chosen_n.tolist(), *patches, strict=True):
        pictures = (before, after, difference(before, after, _CHANGE_GAIN))
        rows.append((look.name(n), [look.mouth(picture, n, _UNMOVED_23) for picture in pictures]))
    return contact_sheet(rows, ["before", "after", f"difference x {_CHANGE_GAIN:g}"])


def _deflicker(look: Look) -> UInt8:
    """Lines of the patch through time, a row of pixels per frame: what flickers is a comb there."""
    patched_n = np.flatnonzero(look.mouths.has_patch_N)
    middle = len(patched_n) // 2
    shown_n = patched_n[max(middle - _SLICE_FRAMES // 2, 0) : middle + _SLICE_FRAMES // 2]
    mouth_M2 = np.median(look.mouths.landmarks_NM2[shown_n], axis=0)
    upper, lower = mouth_M2[:NUM_MOUTH, 1].min(), mouth_M2[:NUM_MOUTH, 1].max()
    lines = {
        "above the mouth": upper - (lower - upper) / 2,
        "through the mouth": (upper + lower) / 2,
        "below the mouth": lower + (lower - upper) / 2,
    }
    y_3 = np.clip(np.rint(list(lines.values())), 0, look.mouths.patch_size[0] - 1).astype(np.int64)
    before, after = (
        np.stack([patch[y_3] for patch in look.patches(ref, shown_n)], axis=1)
        for ref in around(look.dub, "deflicker")
    )
    rows = []
    for line, old, new in zip(lines, before, after, strict=True):
        pictures = [
            np.repeat(p, _SLICE_ROW_PX, axis=0) for p in (old, new, difference(old, new, _CHANGE_GAIN))
        ]
        rows.append((f"{line}, frames {shown_n[0]} to {shown_n[-1]}", pictures))
    return contact_sheet(rows, ["before", "after", f"difference x {_CHANGE_GAIN:g}"])


def _blend(look: Look) -> UInt8:
    """The film's grain is learned from the shown frames alone: a dub's own pictures differ by that."""
    mouths, chosen_n = look.mouths, look.chosen_n
    compositor = Compositor(
        look.dub.config.blend, look.run.get(look.dub.track), look.run.get(look.dub.retime), mouths
    )
    index_n = look.run.get(look.dub.retime).source_index_N[chosen_n]
    clip, video = look.run.get(look.dub.clip), look.run.get(look.dub.video)
    rows = []
    with closing(read_frames_at(video.path, clip, index_n)) as frames:
        patches = look.patches(look.dub.mouths, chosen_n)
        for n, frame, patch in zip(chosen_n.tolist(), frames, patches, strict=True):
            corner, mask_HW = compositor.mask(n, frame.size)
            similarity_23 = scale_similarity(mouths.similarity_N23[n], look.zoom)
            levels_HW = np.asarray(np.rint(mask_HW * 255), np.uint8)
            shown_HW = sample_patch(levels_HW, corner, similarity_23, look.close_up_size)
            made = frame if mouths.is_own_pixels else compositor.composite(n, frame, patch)
            before, after = frame.rgb(), made.rgb()
            pictures = [
                look.close_up(before, n),
                look.enlarged(patch),
                np.repeat(shown_HW[..., None], 3, axis=2),
                look.close_up(after, n),
                *(look.mouth(picture, n, mouths.similarity_N23[n]) for picture in (before, after)),
            ]
            rows.append((look.name(n), pictures))
    return contact_sheet(rows, ["source", "patch", "mask", "result", "source", "result"])


def _sync(look: Look) -> UInt8:
    look.run.get(look.dub.dubbed)
    return draw_sync(measure_quality(look.dub, look.runtime, look.run.progress))


SHEETS: dict[str, Callable[[Look], UInt8]] = {
    "track": _track,
    "fit": _fit,
    "translate": _translate,
    "retime": _retime,
    "render": _render,
    "teeth": _teeth,
    "deflicker": _deflicker,
    "blend": _blend,
    "sync": _sync,
}
"""How each stage is drawn; "sync" is what all of them came to."""
