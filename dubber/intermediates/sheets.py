"""Contact sheets: what a stage saw and what it made, for the eye.

Faces and mouths are shown at least at the resolution they were rendered at; small ones are enlarged.

Index letters: N output frames, T source frames, n chosen frames.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from dubber.engine.execute import Run
from dubber.engine.plan import Ref
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, NoFaceError, OutputExistsError, OutputFolderError
from dubber.evaluation.quality import measure_quality
from dubber.intermediates.drawing import (
    MESH_COLOR,
    OWN_COLOR,
    WANTED_COLOR,
    contact_sheet,
    difference,
    draw_points,
    write_png,
)
from dubber.intermediates.figures import picture_of
from dubber.intermediates.sync_sheet import draw_sync
from dubber.media.audio import read_speech
from dubber.media.patches import read_patches
from dubber.media.reader import read_frames_at
from dubber.models.morphable import TRACKER, TRACKER_VERTICES, LinearFaceModel, project_TL2
from dubber.ops.align import apply_similarity, scale_similarity
from dubber.ops.landmarks import NUM_MOUTH, mouth_opening
from dubber.ops.warp import sample_patch
from dubber.output import publish
from dubber.pipeline import DubPlan
from dubber.stages.compositor import Compositor
from dubber.stages.fit import FACE_MODEL
from dubber.stages.mouth_geometry import shown_halfway
from dubber.types import Float32, Int64, Mouths, UInt8

CLOSE_UP_PX = 480
"""Least width of a mouth's or face's close-up."""

_CHANGE_GAIN = 6.0
"""How much the pictures of a difference are amplified."""

_FACE_MARGIN = 0.15
"""Part of the face's box that is shown around it on each side."""

_MOUTH_GROWTH, _MOUTH_ASPECT = 1.5, 4 / 3
"""What a mouth's picture shows, in widths of the lips; and its width over its height."""

_SLICE_FRAMES = 240
_SLICE_ROW_PX = 3
"""Frames that a slice through time shows at most, and how high each is."""

_CURVES_SHOWN = 4
_FINISHING = ("teeth", "deflicker")
"""Stages that can be switched off."""

_UNMOVED_23: Float32 = np.eye(2, 3, dtype=np.float32)


def stage_sheet(
    stage: str, dub_plan: DubPlan, runtime: Runtime, progress: Progress, *, num_frames: int = 12
) -> UInt8:
    """Draw the sheet of a stage; what it needs is made or taken from the cache.

    Args:
        stage: One of `SHEETS`.
        dub_plan: The plan.
        runtime: Device, cache and weights.
        progress: Is told of the stages.
        num_frames: Moments shown, spread evenly over the clip; curves and slices show all they can.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ConfigError: The stage has no sheet, or the settings leave it out.
        NoFaceError: No frame shows a usable face.
        DubberError: A stage failed.
    """
    if stage not in SHEETS:
        raise ConfigError(f"There is no sheet of '{stage}'.", advice=f"Sheets: {', '.join(SHEETS)}.")
    if stage in _FINISHING and stage not in dub_plan.plan.stage_names():
        raise ConfigError(f"The stage '{stage}' is switched off.", advice=f"Try `--set {stage}.is_on=true`.")
    return SHEETS[stage](_Look(dub_plan, runtime, Run(dub_plan.plan, runtime, progress), num_frames))


def around(dub_plan: DubPlan, stage: str) -> tuple[Ref[Mouths], Ref[Mouths]]:
    """The patches that a finishing stage takes and those that it makes, of the first speaker."""
    return {
        "teeth": (dub_plan.rendered, dub_plan.toothed),
        "deflicker": (dub_plan.toothed, dub_plan.mouths),
    }[stage]


def check_sheet(output: Path, *, is_overwrite: bool) -> None:
    """Find out before the work whether a sheet can be written.

    Raises:
        ConfigError: The name is not that of a PNG file.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: It has no folder to lie in.
    """
    if output.suffix.lower() != ".png":
        raise ConfigError("A sheet is a PNG file.", where=str(output), advice="End its name with .png.")
    if output.exists() and not is_overwrite:
        raise OutputExistsError("The sheet is there already.", where=str(output))
    if not output.parent.is_dir():
        raise OutputFolderError("The sheet's folder does not exist.", where=str(output.parent))


def write_sheet(sheet: UInt8, output: Path, *, is_overwrite: bool) -> None:
    """Write a sheet whole or not at all.

    Args:
        sheet: (H, W, 3) uint8 RGB.
        output: A `.png` file.
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: It appeared meanwhile.
        OutputFolderError: The folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        finished = Path(folder) / output.name
        write_png(finished, sheet)
        publish(finished, output, is_overwrite=is_overwrite)


@dataclass(frozen=True)
class _Look:
    """A dub that is looked at."""

    dub: DubPlan
    runtime: Runtime
    run: Run
    num_frames: int

    @cached_property
    def mouths(self) -> Mouths:
        """Where the mouths are; finishing changes nothing but the patches."""
        return self.run.get(self.dub.rendered)

    @cached_property
    def whole_n(self) -> Int64:
        """Output frames with a patch, without those half-way between two source frames if there are others.

        Raises:
            NoFaceError: There is none.
        """
        has_patch_N = self.mouths.has_patch_N
        is_halfway_N = shown_halfway(self.run.get(self.dub.track), self.run.get(self.dub.retime))
        is_whole_N = has_patch_N & ~is_halfway_N
        if not has_patch_N.any():
            raise NoFaceError("No frame shows a face that can be dubbed.", where="inspect")
        return np.flatnonzero(is_whole_N if is_whole_N.any() else has_patch_N)

    @cached_property
    def chosen_n(self) -> Int64:
        """Those of them to show."""
        return self.spread(self.whole_n)

    @cached_property
    def zoom(self) -> float:
        """Pixels of a close-up per pixel of a patch."""
        return max(1.0, CLOSE_UP_PX / self.mouths.patch_size[1])

    @property
    def close_up_size(self) -> tuple[int, int]:
        """(height, width) of a mouth's close-up."""
        height, width = self.mouths.patch_size
        return round(height * self.zoom), round(width * self.zoom)

    def spread(self, candidates_n: Int64) -> Int64:
        """As many of the candidates, of which there is one at least, as are to be shown, evenly spread."""
        places = np.linspace(0, len(candidates_n) - 1, min(self.num_frames, len(candidates_n)))
        return np.asarray(candidates_n[np.rint(places).astype(np.int64)], np.int64)

    def name(self, n: int) -> str:
        """The frame's number and time, and the source frame's number."""
        time_s = self.run.get(self.dub.timeline).times_s_N[n]
        return f"{n}  {time_s:.2f} s  source {self.run.get(self.dub.retime).source_index_N[n]}"

    def sources(self, chosen_n: Sequence[int] | Int64) -> Iterator[UInt8]:
        """Whole source pictures of output frames."""
        index_n = self.run.get(self.dub.retime).source_index_N[np.asarray(chosen_n)]
        yield from _pictures(self, index_n.tolist())

    def close_up(self, picture: UInt8, n: int) -> UInt8:
        """The part of a whole picture that a patch covers."""
        similarity_23 = scale_similarity(self.mouths.similarity_N23[n], self.zoom)
        return sample_patch(picture, (0, 0), similarity_23, self.close_up_size)

    def enlarged(self, patch: UInt8) -> UInt8:
        """A patch as large as a close-up."""
        height, width = self.close_up_size
        if patch.shape[:2] == (height, width):
            return patch
        return np.asarray(cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    @cached_property
    def mouth_width_px(self) -> float:
        """Width of what a mouth's picture shows, px of a patch: half as wide again as the lips."""
        x_NM = self.mouths.landmarks_NM2[self.mouths.has_patch_N, :NUM_MOUTH, 0]
        return float(np.median(np.ptp(x_NM, axis=1))) * _MOUTH_GROWTH

    def mouth(self, picture: UInt8, n: int, similarity_23: Float32) -> UInt8:
        """The lips alone, as high as a close-up.

        Args:
            picture: A whole picture or a patch.
            n: The output frame.
            similarity_23: (2, 3) its px to the patch's px.
        """
        height = self.close_up_size[0]
        size = (height, round(height * _MOUTH_ASPECT))
        middle = self.mouths.landmarks_NM2[n, :NUM_MOUTH].mean(axis=0)
        shown = np.array([self.mouth_width_px, self.mouth_width_px / _MOUTH_ASPECT], np.float32)
        moved_23 = np.array(similarity_23, np.float32)
        moved_23[:, 2] -= middle - shown / 2
        return sample_patch(picture, (0, 0), scale_similarity(moved_23, size[1] / float(shown[0])), size)

    def patches(self, ref: Ref[Mouths], chosen_n: Int64) -> Iterator[UInt8]:
        """Patches of some output frames, in order."""
        mouths = self.run.get(ref)
        if mouths.is_own_pixels:  # of the film: no patches are made of them
            for n, picture in zip(chosen_n.tolist(), self.sources(chosen_n), strict=True):
                yield sample_patch(picture, (0, 0), mouths.similarity_N23[n], mouths.patch_size)
            return
        wanted = set((np.cumsum(mouths.has_patch_N) - 1)[chosen_n].tolist())
        last = max(wanted)
        with closing(read_patches([file.path for file in mouths.patches])) as stream:
            for index, patch in enumerate(stream):
                if index in wanted:
                    yield patch
                if index == last:
                    return


def _track(look: _Look) -> UInt8:
    track = look.run.get(look.dub.track)
    rows = []
    for t, picture in _usable_frames(look):
        similarity_23, size = _face_window(track.boxes_T4[t])
        face = sample_patch(picture, (0, 0), similarity_23, size)
        mesh = face.copy()
        draw_points(mesh, apply_similarity(similarity_23, track.landmarks_TL3[t, :, :2]), MESH_COLOR)
        rows.append((f"source {t}", [face, mesh]))
    return contact_sheet(rows, ["source", "468 landmarks"])


def _fit(look: _Look) -> UInt8:
    track, coeffs = look.run.get(look.dub.track), look.run.get(look.dub.coeffs)
    model = LinearFaceModel.from_weight(look.runtime.weights.open(FACE_MODEL))
    tracked, vertices = model.landmark_sets[TRACKER], model.landmark_sets[TRACKER_VERTICES]
    rows = []
    for t, picture in _usable_frames(look):
        pose = (coeffs.rotation_T3[[t]], coeffs.scale_T[[t]], coeffs.translation_T2[[t]])
        fitted_P2 = project_TL2(model, coeffs.identity_K, coeffs.expression_TK[[t]], *pose, vertices)[0]
        similarity_23, size = _face_window(track.boxes_T4[t])
        seen, made = (sample_patch(picture, (0, 0), similarity_23, size) for _ in range(2))
        draw_points(seen, apply_similarity(similarity_23, track.landmarks_TL3[t, tracked, :2]), MESH_COLOR)
        draw_points(made, apply_similarity(similarity_23, fitted_P2), WANTED_COLOR)
        rows.append((f"source {t}  {coeffs.residual_px_T[t]:.1f} px", [seen, made]))
    return contact_sheet(rows, ["tracked", "face model"])


def _translate(look: _Look) -> UInt8:
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


def _retime(look: _Look) -> UInt8:
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


def _render(look: _Look) -> UInt8:
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


def _teeth(look: _Look) -> UInt8:
    """Frames with open mouths: there are no teeth to be seen in the others."""
    opening_n = mouth_opening(look.mouths.landmarks_NM2[look.whole_n])
    chosen_n = look.spread(look.whole_n[opening_n >= np.median(opening_n)])
    rows = []
    patches = (look.patches(ref, chosen_n) for ref in around(look.dub, "teeth"))
    for n, before, after in zip(chosen_n.tolist(), *patches, strict=True):
        pictures = (before, after, difference(before, after, _CHANGE_GAIN))
        rows.append((look.name(n), [look.mouth(picture, n, _UNMOVED_23) for picture in pictures]))
    return contact_sheet(rows, ["before", "after", f"difference x {_CHANGE_GAIN:g}"])


def _deflicker(look: _Look) -> UInt8:
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


def _blend(look: _Look) -> UInt8:
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


def _sync(look: _Look) -> UInt8:
    look.run.get(look.dub.dubbed)
    return draw_sync(measure_quality(look.dub, look.runtime, look.run.progress))


def _usable_frames(look: _Look) -> Iterator[tuple[int, UInt8]]:
    """Number and picture of source frames with a usable face."""
    usable_t = look.spread(np.flatnonzero(look.run.get(look.dub.track).is_usable_T))
    yield from zip(usable_t.tolist(), _pictures(look, usable_t.tolist()), strict=True)


def _pictures(look: _Look, index_t: Sequence[int]) -> Iterator[UInt8]:
    video, clip = look.run.get(look.dub.video), look.run.get(look.dub.clip)
    with closing(read_frames_at(video.path, clip, index_t)) as frames:
        for frame in frames:
            yield frame.rgb()


def _face_window(box_4: Float32) -> tuple[Float32, tuple[int, int]]:
    """Display px to a square close-up of a face; and the close-up's size."""
    low, high = box_4[:2], box_4[2:]
    side = float((high - low).max()) * (1 + 2 * _FACE_MARGIN)
    scale = max(1.0, CLOSE_UP_PX / side)
    corner = (low + high) / 2 - side / 2
    similarity_23 = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]], np.float32)
    return similarity_23, (round(side * scale), round(side * scale))


SHEETS: dict[str, Callable[[_Look], UInt8]] = {
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
