"""The held-out frames of a clip, made again by the finished chain, beside what was filmed.

Index letters: N held-out frames, M = 39 mouth and jaw landmarks.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dubber.config import DubConfig
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime, StageContext
from dubber.evaluation.footage import Footage
from dubber.evaluation.measures import Measures
from dubber.evaluation.metrics import psnr_db, ssim
from dubber.evaluation.pairs import MaskedPair, PairMeasure, steady_boxes
from dubber.evaluation.pictures import Detail, Fidelity, Flicker, Seam, SeenMouth
from dubber.evaluation.user_networks import UserNetworks
from dubber.media.audio import read_speech
from dubber.ops.align import invert_similarity
from dubber.ops.warp import sample_crop
from dubber.stages.blend import blended
from dubber.stages.compositor import Compositor
from dubber.stages.deflicker import Deflicker
from dubber.stages.mouth_geometry import patch_similarity
from dubber.stages.mouth_stream import MouthStream, ShownFootage
from dubber.stages.painter_check import check_painter
from dubber.stages.render import render_mouths
from dubber.stages.teeth import Teeth
from dubber.types import CROP_SIZE_PX, MOUTH_WINDOW, Bool, Float32, UInt8


def measure_pictures(
    footage: Footage,
    wanted_NM2: Float32,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    *,
    name: str,
    networks: UserNetworks | None = None,
) -> Measures:
    """Make the held-out frames and compare them, before any encode, with what was filmed.

    Args:
        footage: The clip.
        wanted_NM2: (N, 39, 2) display px of the mouths to make.
        config: Parameters of the stages from the renderer on.
        runtime: Device and weights.
        progress: Is told of each frame.
        name: What it is told.
        networks: Measures that need a network of the user's.

    Returns:
        The measures of `dubber.evaluation.pictures`; `remade_psnr_db`, of the changed pixels in the mouth box
        alone; `patch_psnr_db` and `patch_ssim`, of the bare patch in the box, before blending.

    Raises:
        DubberError: See the stages.
    """
    progress.start(name, len(wanted_NM2))
    samples_S = read_speech(footage.speech)
    with (
        tempfile.TemporaryDirectory(prefix="dubber-") as folder,
        SeenMouth(footage.is_silent_T(config.translate.min_gap_s), footage.timeline.times_s_N) as seen,
    ):
        remade = _Remade()
        over_pairs: list[PairMeasure] = [Fidelity(), Detail(), Seam(), Flicker(), seen]
        over_pairs += (networks or UserNetworks()).measures(samples_S, samples_S)
        for pair in _pairs(footage, wanted_NM2, config, runtime, Path(folder)):
            for measure in over_pairs:
                measure.add(pair)
            remade.add(pair)
            progress.advance(name)
    found = {key: value for measure in over_pairs for key, value in measure.measures().items()}
    return {**found, **remade.measures()}


def finished_mouths(
    footage: Footage, wanted_NM2: Float32, config: DubConfig, runtime: Runtime, folder: Path
) -> MouthStream:
    """Render the held-out frames and finish their patches, as the pipeline does.

    Args:
        footage: The clip; its held-out frames lend neither mouth nor teeth.
        wanted_NM2: (N, 39, 2) display px.
        config: Says which stages there are.
        runtime: Device and weights.
        folder: The patches go here.

    Raises:
        DubberError: See the stages.
    """
    params = config.render.model_copy(update={"held_out_from_frame": footage.held_out_from_frame})
    video, clip, track, coeffs = footage.video, footage.clip, footage.track, footage.coeffs
    adapted = footage.adapted(config, runtime)
    verdict = None
    if params.renderer == "hybrid" and params.is_checked:
        context = _context(runtime, folder, "check")
        verdict = check_painter(context, params, video, clip, track, coeffs, adapted)
    context = _context(runtime, folder, "render")
    mouths = render_mouths(
        context,
        params,
        video,
        clip,
        track,
        coeffs,
        footage.retime,
        wanted_NM2.__getitem__,
        verdict=verdict,
        adapted=adapted,
    )
    shown = (video, clip, track, footage.retime)
    if config.teeth.is_on:
        mouths = Teeth(config.teeth).run(_context(runtime, folder, "teeth"), *shown, mouths)
    if config.deflicker.is_on:
        mouths = Deflicker(config.deflicker).run(_context(runtime, folder, "deflicker"), *shown, mouths)
    return mouths


def _context(runtime: Runtime, folder: Path, stage_name: str) -> StageContext:
    """Folders of its own for a stage that runs outside a plan.

    The measuring loop counts the frames; the stages' own counts would mix with it.
    """
    entry, work = folder / stage_name / "entry", folder / stage_name / "work"
    entry.mkdir(parents=True)
    work.mkdir()
    return StageContext(runtime, entry, work, stage_name)


@dataclass(frozen=True)
class _RemadePair(MaskedPair):
    """A pair of which more is known.

    Attributes:
        patch: (384, 384, 3) uint8 RGB, the finished patch in its place in the crop, before blending.
        is_remade_HW: (384, 384) bool, where dubber changed the crop.
    """

    patch: UInt8
    is_remade_HW: Bool

    @property
    def patch_box(self) -> tuple[slice, slice]:
        """Rows and columns of the mouth box as far as they were rendered."""
        rows, columns = self.mouth_box
        left, top, right, bottom = MOUTH_WINDOW
        return (
            slice(max(rows.start, top), min(rows.stop, bottom)),
            slice(max(columns.start, left), min(columns.stop, right)),
        )


class _Remade:
    """Fidelity of what was made anew: the pixels that were changed, and the bare patch, in the mouth box."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {"remade_psnr_db": [], "patch_psnr_db": [], "patch_ssim": []}

    def add(self, pair: _RemadePair) -> None:
        """Compare a frame."""
        patch, filmed_patch = pair.patch[pair.patch_box], pair.filmed_crop[pair.patch_box]
        self._values["patch_psnr_db"].append(psnr_db(patch, filmed_patch))
        self._values["patch_ssim"].append(ssim(patch, filmed_patch))
        made, filmed, is_remade_HW = (
            image[pair.mouth_box] for image in (pair.made_crop, pair.filmed_crop, pair.is_remade_HW)
        )
        if is_remade_HW.any():
            self._values["remade_psnr_db"].append(psnr_db(made[is_remade_HW], filmed[is_remade_HW]))

    def measures(self) -> Measures:
        """Means over frames."""
        return {name: statistics.fmean(values) if values else None for name, values in self._values.items()}


def _pairs(
    footage: Footage, wanted_NM2: Float32, config: DubConfig, runtime: Runtime, folder: Path
) -> Iterator[_RemadePair]:
    """Make the held-out frames."""
    retime, clip, track = footage.retime, footage.clip, footage.track
    stream = finished_mouths(footage, wanted_NM2, config, runtime, folder)
    shown_footage = ShownFootage(footage.video, clip, track, retime)
    compositor = Compositor(config.blend, track, retime, stream.mouths)
    identity_23 = np.eye(2, 3, dtype=np.float32)
    patch_to_crop_23 = invert_similarity(patch_similarity(identity_23, stream.mouths.crop_size_px))
    boxes_T4 = steady_boxes(track)
    with closing(blended(config.blend, shown_footage, stream)) as pairs:
        for shown, made in pairs:
            n, truth = shown.n, shown.frame
            if not stream.mouths.has_patch_N[n]:
                continue
            index = int(retime.source_index_N[n])
            is_changed = np.asarray((made.y != truth.y) * 255, np.uint8)
            filmed, similarity_23 = truth.rgb(), track.similarity_T23[index]
            # Where mouths are the film's own pixels there are no patches.
            patch, to_crop_23 = (
                (filmed, similarity_23) if shown.patch is None else (shown.patch, patch_to_crop_23)
            )
            yield _RemadePair(
                n=index,
                time_s=float(clip.times_s_T[index]),
                made=made.rgb(),
                filmed=filmed,
                similarity_23=similarity_23,
                landmarks_L3=track.landmarks_TL3[index],
                box_4=boxes_T4[index],
                patch=sample_crop(patch, (0, 0), to_crop_23, CROP_SIZE_PX),
                is_remade_HW=sample_crop(is_changed, (0, 0), similarity_23, CROP_SIZE_PX) > 127,
                used_mask=compositor.mask(n, truth.size),
            )
