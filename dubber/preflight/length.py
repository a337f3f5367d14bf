"""Preflight of the lengths: what the length mode will do with this video and this speech."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dubber.outcome import AUDIBLE_CUT_S
from dubber.preflight.findings import Finding
from dubber.types import Clip, LengthMode, Timeline

TELLING_STRETCH = 1.5
"""Footage stretched or shortened by more than this looks slowed down or hurried."""


@dataclass(frozen=True)
class LengthFacts:
    """What will become of the lengths.

    Attributes:
        asked: The mode asked for, by the user or because lines have their places in the film.
        mode: What it comes to; "silence" is every frame, one to one.
        video_s: Length of the video.
        speech_s: Length of the speech.
        output_s: Length of the output.
        num_frames: Frames of the output.
        unheard_s: Seconds of the speech that are cut off.
    """

    asked: LengthMode
    mode: LengthMode
    video_s: float
    speech_s: float
    output_s: float
    num_frames: int
    unheard_s: float


def matched_lengths(mode: LengthMode, clip: Clip, speech_s: float) -> tuple[LengthFacts, Timeline]:
    """Match the lengths as a run will.

    Args:
        mode: As planned.
        clip: The video, as surveyed.
        speech_s: Length of the speech, > 0.
    """
    from dubber.ops.timeline import make_timeline

    made = make_timeline(mode, clip.pts_T, clip.end_pts, clip.time_base, Fraction(speech_s))
    facts = LengthFacts(
        asked=mode,
        mode=made.mode,
        video_s=round(clip.duration_s, 3),
        speech_s=round(speech_s, 3),
        output_s=round(made.duration_s, 3),
        num_frames=made.num_frames,
        unheard_s=round(max(speech_s - made.audio_duration_s, 0.0), 3),
    )
    return facts, made


def length_findings(facts: LengthFacts) -> list[Finding]:
    """What the user may not have meant."""
    found: list[Finding] = []
    if facts.unheard_s > AUDIBLE_CUT_S:
        found.append(
            Finding(
                "warning",
                "speech-cut-off",
                f"The last {facts.unheard_s:.1f} s of the speech will be cut off (--length {facts.mode}).",
                "--length",
                "auto, retime, loop, bounce and remap keep all of it.",
            )
        )
    factor = facts.speech_s / facts.video_s if facts.video_s else 1.0
    is_stretched = facts.mode in ("retime", "remap")
    if is_stretched and not 1 / TELLING_STRETCH <= factor <= TELLING_STRETCH:
        found.append(
            Finding(
                "warning",
                "stretched-much",
                f"The video is {'stretched' if factor > 1 else 'shortened'} from {facts.video_s:.1f} s to "
                f"{facts.output_s:.1f} s: movements will look {'slow' if factor > 1 else 'hurried'}.",
                advice="`--length bounce` or `loop` repeat a short video, `cut_off` and `silence` leave its "
                "pace as it is.",
            )
        )
    return found
