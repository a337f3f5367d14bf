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
from dubber.engine.device import mixed_precision
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime, StageContext
from dubber.evaluation.footage import Footage, on_own_heads, prepare
from dubber.media.patches import PatchWriter, read_patches
from dubber.media.reader import read_frames_at
from dubber.models.frame_painter import FramePainter
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor
from dubber.models.morphable import LinearFaceModel
from dubber.ops.teeth import Proxy, transfer_teeth
from dubber.pipeline import make_runtime
from dubber.stages.blend import BlendParams
from dubber.stages.compositor import Compositor
from dubber.stages.deflicker import Deflicker
from dubber.stages.fit import FACE_MODEL
from dubber.stages.mouth_geometry import patch_size, source_geometry
from dubber.stages.render import RenderParams, make_job, render_mouths
from dubber.stages.renderers import RENDERERS
from dubber.stages.renderers.base import RenderJob
from dubber.stages.teeth import Teeth, TeethParams
from dubber.types import CROP_SIZE_PX, Mouths, RetimeMap


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

    def job(self, context: StageContext, params: RenderParams | None = None) -> RenderJob:
        """What a renderer is given."""
        footage = self.footage
        source = source_geometry(footage.track, footage.coeffs, self.retime)
        assert isinstance(self.params.crop_size_px, int)
        return make_job(
            context,
            params or self.params,
            footage.video,
            footage.clip,
            footage.track,
            footage.coeffs,
            self.retime,
            source,
            source.landmarks_NM2,
            self.params.crop_size_px,
        )

    @cached_property
    def mouths(self) -> Mouths:
        """Exemplar patches."""
        footage, model = self.footage, LinearFaceModel.from_weight(self.runtime.weights.open(FACE_MODEL))
        wanted_NM2 = on_own_heads(model, footage, footage.true_expression_NK)[: self.num_frames]
        return render_mouths(
            self.context(),
            self.params,
            footage.video,
            footage.clip,
            footage.track,
            footage.coeffs,
            self.retime,
            wanted_NM2,
        )


Step = Callable[[], object]
Prepared = tuple[Step, int]
"""What is timed, and for how many output frames that works."""


def decode(bench: Bench) -> Prepared:
    """The source frames of the output."""
    indices = bench.retime.source_index_N
    video, clip = bench.footage.video.path, bench.footage.clip
    return lambda: _drained(read_frames_at(video, clip, indices)), bench.num_frames


def exemplar(bench: Bench) -> Prepared:
    """Search, warps and dissolves; the exemplars' crops lie on disk already."""
    context = bench.context()
    _patches(bench.job(context))
    return lambda: _patches(bench.job(context)), bench.num_frames


def exemplar_with_footage(bench: Bench) -> Prepared:
    """The same from the video file: with decoding it and cutting the exemplars' crops out."""
    return lambda: _patches(bench.job(bench.context())), bench.num_frames


def hybrid(bench: Bench) -> Prepared:
    """Four searches and warps, the source's window, and the network; exemplars' crops lie on disk already."""
    context = bench.context()
    params = bench.params.model_copy(update={"renderer": "hybrid"})
    _patches(bench.job(context, params), "hybrid")
    return lambda: _patches(bench.job(context, params), "hybrid"), bench.num_frames


def hybrid_network(bench: Bench) -> Prepared:
    """The hybrid renderer's network alone, as on this machine."""
    weights = bench.runtime.weights.open("renderer_hybrid")
    net, frames = HybridPainter.from_weight(weights).to(memory_format=torch.channels_last), 20
    height, width = patch_size(bench.params.crop_size_px)
    shown = np.zeros((1, height, width, 3 * net.num_exemplars + 5), np.uint8)

    def paint() -> None:
        with torch.inference_mode(), mixed_precision(torch.device("cpu")):
            for _ in range(frames):
                to_pictures(net(to_tensor(shown)).picture_B3HW)

    return paint, frames


def write_patches(bench: Bench) -> Prepared:
    """Losslessly encoding the patches."""
    patches = list(read_patches([file.path for file in bench.mouths.patches]))

    def write() -> None:
        with PatchWriter(bench.folder / "written.mkv", bench.mouths.patch_size) as writer:
            for patch in patches:
                writer.write(patch)

    return write, bench.num_frames


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
    """The stage, with reading and writing the patches."""
    stage = Deflicker(DubConfig().deflicker)
    return lambda: stage.run(
        bench.context(), bench.footage.track, bench.retime, bench.mouths
    ), bench.num_frames


def teeth(bench: Bench) -> Prepared:
    """Filmed detail for softened patches that are in memory, with one proxy each."""
    mouths = bench.mouths
    patches = list(read_patches([file.path for file in mouths.patches]))
    landmarks_nM2 = mouths.landmarks_NM2[mouths.has_patch_N]
    soft = [cv2.GaussianBlur(patch, (0, 0), 2.0).astype(np.uint8) for patch in patches]
    unit_px = mouths.crop_size_px / CROP_SIZE_PX

    def step() -> None:
        for image, filmed, points in zip(soft, patches, landmarks_nM2, strict=True):
            transfer_teeth(image, points, [Proxy(filmed, points, 1.0)], unit_px)

    return step, len(patches)


def teeth_with_footage(bench: Bench) -> Prepared:
    """The stage: search, one pass over the footage for proxies, reading and writing the patches."""
    stage, footage = Teeth(TeethParams()), bench.footage
    return lambda: stage.run(
        bench.context(), footage.video, footage.clip, footage.track, bench.retime, bench.mouths
    ), bench.num_frames


def blend(bench: Bench) -> Prepared:
    """Putting the patches into the frames, without decoding either."""
    footage, mouths = bench.footage, bench.mouths
    patches = read_patches([file.path for file in mouths.patches])
    frames = read_frames_at(footage.video.path, footage.clip, bench.retime.source_index_N)
    work = [(n, frame, next(patches)) for n, frame in enumerate(frames) if mouths.has_patch_N[n]]

    def composite() -> None:
        compositor = Compositor(BlendParams(), footage.track, bench.retime, mouths)
        for n, frame, patch in work:
            compositor.composite(n, frame, patch)

    return composite, len(work)


ROWS: dict[str, Callable[[Bench], Prepared]] = {
    "decode": decode,
    "exemplar": exemplar,
    "exemplar+footage": exemplar_with_footage,
    "hybrid": hybrid,
    "hybrid network": hybrid_network,
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


def _patches(job: RenderJob, renderer: str = "exemplar") -> None:
    _drained(RENDERERS[renderer](job).patches(0, len(job.has_patch_N)))


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
