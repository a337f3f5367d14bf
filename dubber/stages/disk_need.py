"""How much disk a run will take, told before it begins.

The constants are measured: files of runs on 40 clips of 256 x 256 to 1080 x 1920 pixels, 24 to 30 frames a
second, all with the default parameters. Pictures differ, so these are the larger of what was found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dubber.engine.execute import missing_stages
from dubber.engine.plan import Node, Plan
from dubber.engine.stage import Stage
from dubber.engine.store import Store
from dubber.stages.adapt import Adapt
from dubber.stages.mix import Mix
from dubber.stages.remux import Remux
from dubber.stages.render import Render, RenderParams
from dubber.stages.speech import ExtractSpeech
from dubber.stages.teeth import Teeth
from dubber.stages.timeline import SetLength
from dubber.types import CROP_SIZE_PX, Clip, FaceTrack, Timeline

T = TypeVar("T")

PATCH_BYTES_PER_PX = 1.2
"""Of a lossless patch: 0.79 to 1.17 bytes per pixel were found, so 1.2 MB per megapixel."""

_MOUTH_BYTES = 660
"""Arrays of `Mouths` per output frame."""

_PEOPLE_BYTES, _TRACK_BYTES, _FIT_BYTES, _CLIP_BYTES = 5680, 5680, 150, 10
"""Per source frame; of people, for each of them."""

_FRAME_BYTES = {"timeline": 13, "translate": 125, "edit": 125, "retime": 6, "edit_retime": 6}
"""Per output frame."""

_SPEECH_BYTES_PER_S = 32_000
"""16 bit at 16 kHz."""

_MIX_BYTES_PER_S = 48_000 * 2 * 3
"""24 bit stereo at 48 kHz."""

_MIX_SCRATCH_PER_S = 48_000 * 2 * 4
"""Each voice, and their sum, in 32 bit."""

_PAINTER_BYTES = 8_200_000
"""A painter that has learned somebody."""

_ENTRY_BYTES = 8_192
"""Of every entry, whatever is in it."""

_ENCODED_BYTES_PER_PX = 0.010
_OF_SOURCE_RATE = 2.0
"""The encoded output takes, at crf 16, up to so much per pixel and up to so many times the source's rate; the
larger counts. x264 halves or doubles its rate with six steps of crf."""
_USUAL_CRF, _HALVING_CRF = 16, 6

_CROP_MARGIN_PX = 24
"""Around the patch of a frame that lends its mouth, in px of the 384 crop; these are kept raw."""

_NUM_EXEMPLARS = 4
"""Frames that the hybrid renderer mixes."""

_CROP_SIZE_OF_SIDE = ((400, 256), (800, 384))
_CROP_SIZE_OF_LARGEST = 512
"""Crop of a large face where nothing has been tracked yet, by the square root of the pixels."""


@dataclass(frozen=True)
class DiskNeed:
    """What a run will write.

    Attributes:
        kept: Bytes by which the cache grows, by stage.
        scratch_bytes: Bytes that lie in the cache's folder meanwhile, at most.
        output_bytes: Bytes of the finished file.
    """

    kept: dict[str, int] = field(default_factory=dict)
    scratch_bytes: int = 0
    output_bytes: int = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes by which the cache grows."""
        return sum(self.kept.values())

    @property
    def cache_bytes(self) -> int:
        """Bytes that the cache's disk must have room for."""
        return self.kept_bytes + self.scratch_bytes


@dataclass(frozen=True)
class _Extent:
    """What sizes depend on.

    Attributes:
        num_source: Frames of the footage.
        num_out: Frames of the output.
        num_px: Pixels of a frame.
        source_s: Length of the footage.
        speech_s: Length of the speech.
        bytes_per_s: Of the source's file.
        crop_size_px: Side of the face's crop.
    """

    num_source: int
    num_out: int
    num_px: int
    source_s: float
    speech_s: float
    bytes_per_s: float
    crop_size_px: int

    @property
    def out_s(self) -> float:
        return self.num_out * self.source_s / max(self.num_source, 1)

    def patch_px(self, margin_px: int = 0) -> int:
        """Pixels of a patch, or of one with a margin in px of the 384 crop."""
        from dubber.stages.mouth_geometry import patch_size

        height, width = patch_size(self.crop_size_px)
        margin = 2 * margin_px * self.crop_size_px // CROP_SIZE_PX
        return (height + margin) * (width + margin)


def disk_need(
    plan: Plan,
    store: Store,
    target: int,
    forced: Collection[int] = (),
    *,
    keeps_all: bool = False,
) -> DiskNeed:
    """Estimate what getting a result will write.

    What is stored tells the sizes of what is missing; for the rest the files' headers do.

    Args:
        plan: A dub's plan.
        store: What exists.
        target: Index of the wanted node.
        forced: Nodes made again in any case.
        keeps_all: Whether streams that are cheap to make again are stored too.

    Returns:
        Estimates, on the large side; all zero where nothing is missing. The output counts although it is
        stored, since it is still to be copied to its place, if `target` is what makes it.

    Raises:
        MediaError: A source file cannot be read.
    """
    missing = sorted(missing_stages(plan, store, target, set(forced)))
    stages = {index: stage for index in missing if (stage := plan.nodes[index].stage) is not None}
    if not stages:
        return DiskNeed(output_bytes=_stored_bytes(plan.nodes[target], store))
    extent = _extent(plan, store)
    kept = {
        plan.nodes[index].name: _ENTRY_BYTES + round(_kept_bytes(stage, extent))
        for index, stage in stages.items()
        if stage.is_stored and (not stage.is_streamed or stage.is_costly or keeps_all or index == target)
    }
    scratch_bytes = sum(_scratch_bytes(stage, extent) for stage in stages.values())
    output_bytes = kept.get(Remux.name, 0)
    for index in stages:  # what a killed run left is there already
        node = plan.nodes[index]
        finished = sum(path.stat().st_size for path in store.unfinished(node.key))
        if node.name in kept:
            kept[node.name] = max(kept[node.name] - finished, 0)
    return DiskNeed(kept, round(scratch_bytes), output_bytes)


def _kept_bytes(stage: Stage[Any], extent: _Extent) -> float:
    """What a stage's entry takes."""
    if isinstance(stage, Remux):
        return _encoded_bytes(stage, extent)
    if stage.name in _FRAME_BYTES:
        return _FRAME_BYTES[stage.name] * extent.num_out
    if stage.name in ("render", "teeth", "deflicker"):
        return extent.num_out * (_MOUTH_BYTES + PATCH_BYTES_PER_PX * extent.patch_px())
    return {
        "demux": _CLIP_BYTES * extent.num_source,
        "people": _PEOPLE_BYTES * extent.num_source,
        "track": _TRACK_BYTES * extent.num_source,
        "fit": _FIT_BYTES * extent.num_source,
        "speech": _SPEECH_BYTES_PER_S * extent.speech_s,
        "lines": _SPEECH_BYTES_PER_S * extent.source_s,
        "mix": _MIX_BYTES_PER_S * max(extent.out_s, extent.speech_s),
        "own_speech": _SPEECH_BYTES_PER_S * extent.source_s,
        "adapt": _PAINTER_BYTES,
    }.get(stage.name, 0)


def _scratch_bytes(stage: Stage[Any], extent: _Extent) -> float:
    """What a stage puts into the cache's folder and removes in the end."""
    if stage.name == "people":
        return 2 * _PEOPLE_BYTES * extent.num_source
    if stage.name == "track":
        return _TRACK_BYTES * extent.num_source
    if isinstance(stage, Mix):
        num_voices = len({line.voice_index for line in stage.params.lines})
        return (1 + num_voices) * _MIX_SCRATCH_PER_S * max(extent.out_s, extent.speech_s)
    if isinstance(stage, Adapt):
        lessons = min(stage.params.num_lessons, extent.num_source)
        return lessons * (1 + _NUM_EXEMPLARS) * 3 * extent.patch_px()
    if isinstance(stage, Render):
        lenders = min(extent.num_source, extent.num_out * _NUM_EXEMPLARS, stage.params.bank_frames)
        num_raw = 0 if stage.params.renderer == "copy" else lenders
        return num_raw * 3 * extent.patch_px(_CROP_MARGIN_PX) + _MOUTH_BYTES * extent.num_out
    if isinstance(stage, Teeth):  # its lenders may all be others
        lenders = min(extent.num_source, stage.params.bank_frames)
        return lenders * 3 * extent.patch_px(_CROP_MARGIN_PX)
    if isinstance(stage, Remux):  # the pictures before the sound is put to them
        return _encoded_bytes(stage, extent)
    return 0


def _encoded_bytes(stage: Remux, extent: _Extent) -> float:
    by_pixels = _ENCODED_BYTES_PER_PX * extent.num_px * extent.num_out
    by_rate = _OF_SOURCE_RATE * extent.bytes_per_s * extent.out_s
    finer = 2 ** ((_USUAL_CRF - stage.params.crf) / _HALVING_CRF)
    return max(by_pixels, by_rate) * finer + _SPEECH_BYTES_PER_S * extent.out_s


def _stored_bytes(node: Node, store: Store) -> int:
    return sum(path.stat().st_size for path in store.entry_dir(node.key).iterdir())


def _extent(plan: Plan, store: Store) -> _Extent:
    from dubber.media.audio import audio_info
    from dubber.media.extent import video_extent

    nodes = {node.name: node for node in plan.nodes}
    video = _source(plan, nodes["demux"])
    voices = [_source(plan, node) for node in plan.nodes if isinstance(node.stage, ExtractSpeech)]
    header = video_extent(video)
    clip = _stored(store, nodes["demux"], Clip)
    track = _stored(store, nodes["track"], FaceTrack)
    timeline = _stored(store, nodes["timeline"], Timeline)
    num_source = header.num_frames if clip is None else clip.num_frames
    source_s = header.duration_s if clip is None else clip.duration_s
    speech_s = max(audio_info(voice).duration_s for voice in voices)
    length = nodes["timeline"].stage
    mode = length.params.mode if isinstance(length, SetLength) else "auto"
    out_s = {"silence": source_s, "cut_off": min(source_s, speech_s)}.get(mode, speech_s)
    num_out = round(out_s * num_source / source_s) if source_s else num_source
    return _Extent(
        num_source=num_source,
        num_out=num_out if timeline is None else timeline.num_frames,
        num_px=header.num_pixels,
        source_s=source_s,
        speech_s=speech_s,
        bytes_per_s=header.bytes_per_s,
        crop_size_px=_crop_size(nodes["render"], track, header.num_pixels),
    )


def _crop_size(render: Node, track: FaceTrack | None, num_px: int) -> int:
    from dubber.stages.render_job import crop_size

    params = render.stage.params if isinstance(render.stage, Render) else RenderParams()
    if track is not None:
        return crop_size(params, track)
    if params.crop_size_px != "auto":
        return params.crop_size_px
    side_px = num_px**0.5
    return next((size for side, size in _CROP_SIZE_OF_SIDE if side_px <= side), _CROP_SIZE_OF_LARGEST)


def _source(plan: Plan, node: Node) -> Path:
    source = plan.nodes[node.inputs[0]].source
    assert source is not None  # noqa: S101 - told to the type checker; these stages read files
    return source.path


def _stored(store: Store, node: Node, output_type: type[T]) -> T | None:
    return store.load(node.key, output_type, is_verified=False) if store.has(node.key) else None
