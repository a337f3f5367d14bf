"""Preflight of the lengths: what the length mode will do with this video and this speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dubber.errors import ConfigError
from dubber.outcome import AUDIBLE_CUT_S
from dubber.preflight.findings import Finding
from dubber.script import Script
from dubber.stages.place import PlacedLine, end_of_lines_s
from dubber.types import Clip, LengthMode, Timeline

TELLING_STRETCH = 1.5
"""Footage stretched or shortened by more than this looks slowed down or hurried."""


_TIMES_ADVICE = "Times are seconds from the film's first picture."


@dataclass(frozen=True)
class LengthFacts:
    """What will become of the lengths.

    Attributes:
        asked: The mode asked for, by the user or because lines have their places in the film.
        mode: What it comes to; "silence" is every frame, one to one.
        video_s: Length of the video.
        speech_s: Length of the speech, or where its last line ends that can be heard.
        output_s: Length of the output.
        num_frames: Frames of the output.
        unheard_s: Seconds of the speech that are cut off.
        behind_s: Seconds of lines, all together, behind the output's end.
        asked_share: Share of the output in which a speaker's mouth is to be made, 0..1, the mean of all.
    """

    asked: LengthMode
    mode: LengthMode
    video_s: float
    speech_s: float
    output_s: float
    num_frames: int
    unheard_s: float
    behind_s: float
    asked_share: float


def matched_lengths(
    mode: LengthMode, clip: Clip, said: Script, durations_s: Sequence[float]
) -> tuple[LengthFacts, Timeline]:
    """Match the lengths as a run will.

    Args:
        mode: As planned.
        clip: The video, as surveyed.
        said: The script, resolved.
        durations_s: Seconds of each voice, > 0.
    """
    from dubber.ops.timeline import make_timeline

    speech_s = _speech_s(clip, said, durations_s)
    made = make_timeline(mode, clip.pts_T, clip.end_pts, clip.time_base, Fraction(speech_s))
    end_s = max(made.duration_s, made.audio_duration_s)
    facts = LengthFacts(
        asked=mode,
        mode=made.mode,
        video_s=round(clip.duration_s, 3),
        speech_s=round(speech_s, 3),
        output_s=round(made.duration_s, 3),
        num_frames=made.num_frames,
        unheard_s=round(max(speech_s - made.audio_duration_s, 0.0), 3),
        behind_s=round(sum(max(line.end_s - max(line.start_s, end_s), 0.0) for line in said.lines), 3),
        asked_share=round(_asked_share(said, made.duration_s), 3),
    )
    return facts, made


def _speech_s(clip: Clip, said: Script, durations_s: Sequence[float]) -> float:
    """Length of what is said, as it is put together for a run."""
    whole_s = [durations_s[voice] for voice in said.whole_voices]
    if not said.has_places:
        return max(whole_s)
    lines = [
        PlacedLine(voice=line.voice, start_s=line.start_s, end_s=line.end_s, from_s=line.from_s)
        for line in said.lines
    ]
    return max(end_of_lines_s(lines, clip.duration_s), *whole_s, 0.0)


def _asked_share(said: Script, duration_s: float) -> float:
    if not said.keeps_rest:
        return 1.0
    within_s = sum(max(min(line.end_s, duration_s) - line.start_s, 0.0) for line in said.lines)
    return min(within_s / (duration_s * said.num_speakers), 1.0)


def length_findings(facts: LengthFacts, said: Script) -> list[Finding]:
    """What the user may not have meant.

    Args:
        facts: The lengths.
        said: The script, resolved.
    """
    found: list[Finding] = []
    first_s = min(line.start_s for line in said.lines)
    if first_s >= facts.output_s:
        outside = ConfigError(
            f"No line lies within the film: the first one begins at {first_s:g} s, the film lasts "
            f"{facts.output_s:.2f} s.",
            where="--start, --script",
            advice=_TIMES_ADVICE,
        )
        return [Finding.of_error("lines-outside", outside)]
    if facts.unheard_s > AUDIBLE_CUT_S and not said.keeps_rest:
        others = (
            "loop, bounce and remap"
            if said.num_speakers > 1 or said.has_places
            else "auto, retime, loop, bounce and remap"
        )
        found.append(
            Finding(
                "warning",
                "speech-cut-off",
                f"The last {facts.unheard_s:.1f} s of the speech will be cut off (--length {facts.mode}).",
                "--length",
                f"{others} keep all of it.",
            )
        )
    elif facts.behind_s > AUDIBLE_CUT_S:
        found.append(
            Finding(
                "warning",
                "speech-cut-off",
                f"{facts.behind_s:.1f} s of the lines lie behind the film's end, at {facts.output_s:.2f} s; "
                "they will not be heard.",
                "--start, --end, --script",
                _TIMES_ADVICE,
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
