"""Time of what makes and finishes mouths, per output frame.

    python benchmarks/render.py CLIP [--crop 384] [--frames 100] [--only NAME ...]

CLIP is a talking clip; it is tracked and fitted once, in dubber's own cache. The last quarter of its frames
is made again with its true landmarks from the rest. Every row is timed on one thread (networks: on
`--threads`), three times, and the fastest counts; the ratio is to the matrix product of
`benchmarks/speed.py`, so that runs on different machines can be compared. What a row holds stands at its
function. To add a row, add it to `ROWS`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from speed import timed

from dubber.config import DubConfig
from dubber.dubbing import make_runtime
from dubber.engine.device import mixed_precision
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.evaluation.footage import Footage, on_own_heads, prepare
from dubber.media.patches import PatchWriter
from dubber.models.frame_painter import FramePainter
from dubber.models.hybrid import to_pictures, to_tensor
from dubber.models.morphable import LinearFaceModel
from dubber.models.prepared_painter import PreparedPainter
from dubber.ops.exemplar_warp import doubled, warp_exemplars
from dubber.ops.landmarks import NUM_MOUTH_JAW, NUM_NOSE_BASE
from dubber.ops.painter_input import painter_input
from dubber.ops.teeth import Proxy, transfer_teeth
from dubber.ops.warp import landmark_displacement, remap
from dubber.stages.blend import BlendParams
from dubber.stages.compositor import Compositor
from dubber.stages.deflicker import Recursion
from dubber.stages.fit import FACE_MODEL
from dubber.stages.mouth_stream import Shown, ShownFootage
from dubber.stages.render import RenderParams, render_mouths
from dubber.stages.render_job import make_job
from dubber.stages.renderers import RENDERERS
from dubber.stages.renderers.base import RenderJob
from dubber.stages.renderers.crops import crop_of
from dubber.stages.renderers.exemplar import ExemplarSource, choose_exemplars
from dubber.stages.renderers.hybrid import read_painter
from dubber.stages.teeth import Teeth, TeethParams
from dubber.types import CROP_SIZE_PX, Float32, Mouths, RetimeMap, UInt8


@dataclass(frozen=True)
class Bench:
    """What rows work on: the held-out frames of a clip, as many as asked for."""

    footage: Footage
    retime: RetimeMap
    runtime: Runtime
    params: RenderParams
    folder: Path

    @property
    def num_frames(self) -> int:
        """Output frames."""
        return len(self.retime.source_index_N)

    def context(self) -> StageContext:
        """A stage's folders, new each time."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "entry").mkdir()
        (folder / "work").mkdir()
        return StageContext(self.runtime, folder / "entry", folder / "work", "benchmark")

    @property
    def output(self) -> ShownFootage:
        """The frames that are given a mouth."""
        footage = self.footage
        return ShownFootage(footage.video, footage.clip, footage.track, self.retime)

    @cached_property
    def shown(self) -> list[Shown]:
        """The same, decoded."""
        return list(self.output.open())

    @cached_property
    def wanted_NM2(self) -> Float32:
        """(N, 39, 2) the true landmarks, display px."""
        model = LinearFaceModel.from_weight(self.runtime.weights.open(FACE_MODEL))
        return on_own_heads(model, self.footage, self.footage.true_expression_NK)[: self.num_frames]

    def job(self, context: StageContext) -> RenderJob:
        """What a renderer is given."""
        footage = self.footage
        return make_job(
            context,
            self.params,
            footage.video,
            footage.clip,
            footage.track,
            footage.coeffs,
            self.retime,
            self.wanted_NM2,
        )

    @cached_property
    def made(self) -> tuple[Mouths, dict[int, UInt8]]:
        """Exemplars for all frames, and the patches by frame."""
        footage = self.footage
        stream = render_mouths(
            self.context(),
            self.params,
            footage.video,
            footage.clip,
            footage.track,
            footage.coeffs,
            self.retime,
            lambda part: self.wanted_NM2[part],
        )
        patches = {each.n: each.patch for each in stream.open() if each.patch is not None}
        return stream.mouths, patches

    @cached_property
    def inputs(self) -> list[UInt8]:
        """What the hybrid painter is shown of some frames."""
        job = self.job(self.context())
        exemplars = ExemplarSource(job, choose_exemplars(job, _NUM_EXEMPLARS))
        return [_painter_input(job, exemplars, each) for each in self.shown[:20] if job.has_patch_N[each.n]]


_NUM_EXEMPLARS = 4

Step = Callable[[], object]
Prepared = tuple[Step, int]
"""What is timed, and for how many output frames that works."""


def decode(bench: Bench) -> Prepared:
    """The source frames of the output."""
    return lambda: _drained(bench.output.open()), bench.num_frames


def renderer(name: str) -> Callable[[Bench], Prepared]:
    """Search and all that makes patches; frames are decoded, and exemplars' crops lie on disk, already."""

    def row(bench: Bench) -> Prepared:
        context = bench.context()

        def paint() -> None:
            _drained(RENDERERS[name](bench.job(context)).paint(iter(bench.shown)))

        paint()
        return paint, bench.num_frames

    return row


def exemplar_with_footage(bench: Bench) -> Prepared:
    """The same from the video file: with decoding it and cutting the exemplars' crops out."""
    return lambda: _drained(
        RENDERERS["exemplar"](bench.job(bench.context())).paint(bench.output.open())
    ), bench.num_frames


def hybrid_input(bench: Bench) -> Prepared:
    """What the network is shown: four warps, the source's window, what is hidden, and the lines."""
    job = bench.job(bench.context())
    exemplars = ExemplarSource(job, choose_exemplars(job, _NUM_EXEMPLARS))
    frames = [each for each in bench.shown if job.has_patch_N[each.n]]
    exemplars.patches(frames[0].n)
    return lambda: [_painter_input(job, exemplars, each) for each in frames], len(frames)


def warps_one_by_one(bench: Bench) -> Prepared:
    """Four exemplars, each with its own spline, resampled cubically."""
    pictures, wanted_P2, source_KP2, job = _to_warp(bench)

    def warp() -> None:
        for picture, source_P2 in zip(pictures, source_KP2, strict=True):
            remap(picture, landmark_displacement(wanted_P2, source_P2, job.patch_size, unit_px=job.unit_px))

    return _often(warp)


def warps_together(bench: Bench) -> Prepared:
    """The same four with one spline, resampled linearly from doubled pictures, of which two are new."""
    pictures, wanted_P2, source_KP2, job = _to_warp(bench)
    ready = [doubled(picture) for picture in pictures[2:]]

    def warp() -> None:
        both = [doubled(picture) for picture in pictures[:2]]
        warp_exemplars([*both, *ready], wanted_P2, source_KP2, job.patch_size, unit_px=job.unit_px)

    return _often(warp)


def hybrid_network_plain(bench: Bench) -> Prepared:
    """The hybrid renderer's network as training runs it, on this machine."""
    net = read_painter(bench.runtime).to(memory_format=torch.channels_last)
    inputs = bench.inputs

    def paint() -> None:
        with torch.inference_mode(), mixed_precision(torch.device("cpu")):
            for inputs_HWC in inputs:
                to_pictures(net(to_tensor(inputs_HWC[None])).picture_B3HW)

    return paint, len(inputs)


def hybrid_network(bench: Bench) -> Prepared:
    """The same made ready to paint."""
    painter = PreparedPainter(read_painter(bench.runtime), torch.device("cpu"))
    inputs = bench.inputs

    def paint() -> None:
        for inputs_HWC in inputs:
            painter.paint(inputs_HWC[None])

    paint()
    return paint, len(inputs)


def write_patches(bench: Bench) -> Prepared:
    """Losslessly encoding the patches."""
    mouths, patches = bench.made

    def write() -> None:
        with PatchWriter(bench.folder / "written.mkv", mouths.patch_size) as writer:
            for patch in patches.values():
                writer.write(patch)

    return write, len(patches)


def unet(width: int) -> Callable[[Bench], Prepared]:
    """One window of the `unet` renderer's network per output frame, in float32."""

    def row(bench: Bench) -> Prepared:
        size_px = bench.params.crop_size_px
        net, windows = FramePainter(base_width=width).eval(), min(4, bench.num_frames)
        inputs = torch.rand(1, net.num_frames, 4, size_px, size_px)

        def paint() -> None:
            with torch.inference_mode():
                for _ in range(windows):
                    net(inputs)

        return paint, windows

    return row


def deflicker(bench: Bench) -> Prepared:
    """The recursion through patches that are in memory."""
    mouths, patches = bench.made

    def step() -> None:
        recursion = Recursion(DubConfig().deflicker, bench.footage.track)
        recursion.look_ahead(mouths, bench.retime)
        for n, patch in patches.items():
            recursion.filtered(n, patch)

    return step, len(patches)


def teeth(bench: Bench) -> Prepared:
    """Filmed detail for softened patches that are in memory, with one proxy each."""
    mouths, patches = bench.made
    soft = {n: cv2.GaussianBlur(patch, (0, 0), 2.0).astype(np.uint8) for n, patch in patches.items()}
    unit_px = mouths.crop_size_px / CROP_SIZE_PX

    def step() -> None:
        for n, filmed in patches.items():
            points_M2 = mouths.landmarks_NM2[n]
            transfer_teeth(soft[n], points_M2, [Proxy(filmed, points_M2, 1.0)], unit_px)

    return step, len(patches)


def teeth_with_footage(bench: Bench) -> Prepared:
    """Exemplars from the video file and the stage after them: search, and a pass over the footage."""
    footage = bench.footage

    def run() -> None:
        context = bench.context()
        rendered = render_mouths(
            context,
            bench.params,
            footage.video,
            footage.clip,
            footage.track,
            footage.coeffs,
            bench.retime,
            lambda part: bench.wanted_NM2[part],
        )
        stage = Teeth(TeethParams())
        stage.run(context, footage.video, footage.clip, footage.track, bench.retime, rendered).drain()

    return run, bench.num_frames


def blend(bench: Bench) -> Prepared:
    """Putting the patches into the frames, without decoding either."""
    mouths, patches = bench.made

    def composite() -> None:
        compositor = Compositor(BlendParams(), bench.footage.track, bench.retime, mouths)
        for n, patch in patches.items():
            compositor.composite(n, bench.shown[n].frame, patch)

    return composite, len(patches)


ROWS: dict[str, Callable[[Bench], Prepared]] = {
    "decode": decode,
    "exemplar": renderer("exemplar"),
    "exemplar+footage": exemplar_with_footage,
    "hybrid": renderer("hybrid"),
    "hybrid input": hybrid_input,
    "warps one by one": warps_one_by_one,
    "warps together": warps_together,
    "hybrid net, plain": hybrid_network_plain,
    "hybrid net": hybrid_network,
    "write patches": write_patches,
    "unet 16": unet(16),
    "unet 32": unet(32),
    "unet 64": unet(64),
    "teeth": teeth,
    "teeth+footage": teeth_with_footage,
    "deflicker": deflicker,
    "blend": blend,
}
"""Name of a row and what prepares it."""


def _painter_input(job: RenderJob, exemplars: ExemplarSource, shown: Shown) -> UInt8:
    wanted_P2 = job.wanted_NP2[shown.n]
    return painter_input(
        exemplars.patches(shown.n),
        crop_of(shown.frame, job.similarity_N23[shown.n], job.patch_size),
        wanted_P2[:NUM_MOUTH_JAW],
        job.own_NM2[shown.n],
        wanted_P2[NUM_MOUTH_JAW : NUM_MOUTH_JAW + NUM_NOSE_BASE],
        job.unit_px,
    )


def _to_warp(bench: Bench) -> tuple[list[UInt8], Float32, Float32, RenderJob]:
    """Four source patches, landmarks wanted of them and theirs, and what they are for."""
    job = bench.job(bench.context())
    chosen = np.flatnonzero(job.has_patch_N)[[0, -1, 1, -2]]
    pictures = [crop_of(bench.shown[n].frame, job.similarity_N23[n], job.patch_size) for n in chosen]
    return pictures, job.wanted_NP2[chosen[0]], job.wanted_NP2[chosen], job


def _often(step: Step, times: int = 20) -> Prepared:
    def repeated() -> None:
        for _ in range(times):
            step()

    return repeated, times


def _drained(stream: Iterable[object]) -> None:
    for _ in stream:
        pass


def main() -> None:
    """Print a line per row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--crop", type=int, default=384, choices=(256, 384, 512, 768, 1024))
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="for networks")
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    runtime = make_runtime(cache_dir=options.cache, device="cpu", threads=options.threads)
    footage = prepare(options.clip, DubConfig(), runtime, SilentProgress())
    whole, shown = footage.retime, slice(0, options.frames)
    retime = RetimeMap(whole.source_index_N[shown], whole.is_halfway_N[shown])
    params = RenderParams(
        renderer="exemplar", crop_size_px=options.crop, held_out_from_frame=footage.held_out_from_frame
    )
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        bench = Bench(footage, retime, runtime, params, Path(folder))
        for name in options.only or ROWS:
            step, num_frames = ROWS[name](bench)
            result = timed(name, step, num_frames)
            print(
                f"{result.name:18s} {result.ms_per_frame:7.2f} ms per frame   {result.ratio:7.1f} products",
                flush=True,
            )


if __name__ == "__main__":
    main()
