"""Preflight of the video file: its pictures, their times, and its other streams."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dubber.preflight.findings import Finding

if TYPE_CHECKING:
    from dubber.config import DubConfig
    from dubber.media.survey import VideoFacts
    from dubber.types import Clip, Timeline


def footage_findings(facts: VideoFacts, clip: Clip, video: Path, config: DubConfig) -> list[Finding]:
    """What is unusual about the pictures and their times.

    Args:
        facts: The video.
        clip: As surveyed.
        video: The file.
        config: How it is read and encoded.

    Raises:
        ConfigError: The encoder does not work.
    """
    found = _losses(clip, video, config)

    def note(code: str, message: str) -> None:
        found.append(Finding("info", code, message, str(video)))

    if facts.is_variable_rate:
        note(
            "variable-frame-rate",
            "The frame rate varies; every frame keeps its own time where frames stay one to one.",
        )
    if facts.has_gaps:
        note("gap", f"The recording has gaps: a picture stands still for {facts.longest_frame_s:.1f} s.")
    if facts.rotation_deg:
        note("rotated", f"The video is turned by {facts.rotation_deg} degrees; the output will be upright.")
    if facts.pixel_aspect != Fraction(1):
        note("non-square-pixels", f"Pixels are not square ({facts.pixel_aspect}); the output keeps that.")
    return found


def _losses(clip: Clip, video: Path, config: DubConfig) -> list[Finding]:
    """What the output's pictures cannot hold of the video's."""
    from dubber.media.encoders import encoder_for, encoding_losses
    from dubber.media.encoding import EncodeOptions

    remux = config.remux
    wanted = EncodeOptions(remux.vcodec, remux.crf, remux.preset, remux.chroma)
    codec = encoder_for(wanted, clip, remux.container).codec
    if not (lost := encoding_losses(codec, clip, remux.container, remux.chroma)):
        return []
    return [
        Finding(
            "warning",
            "picture-loses",
            f"The output will have {', '.join(lost)}: '{codec}' keeps no more.",
            str(video),
            "`--chroma source` keeps what the encoder can, though few players take it; or choose another: "
            "`--vcodec libx265` for 10 bit, `prores_ks` with .mov for alpha.",
        )
    ]


def stream_findings(video: Path, clip: Clip, timeline: Timeline, config: DubConfig) -> list[Finding]:
    """What becomes of the video file's other streams.

    Args:
        video: The file.
        clip: As surveyed.
        timeline: As a run would make it.
        config: Which container, and what the new speech replaces.

    Raises:
        MediaError: It cannot be read.
        ConfigError: The audio track to replace is not there.
    """
    from dubber.stages.remux import kept_streams

    _, plan = kept_streams(config.remux, video, clip, timeline)
    # Sentences on what no longer fits the time say themselves what would keep it.
    advice = "" if timeline.mode in ("retime", "remap") else "A .mkv file holds most."
    return [
        *(Finding("warning", "stream-left-out", text, str(video), advice) for text in plan.left_out),
        *(Finding("info", "stream-converted", text, str(video)) for text in plan.converted),
    ]
