"""Preflight of the new speech: what it is, how loud, how much of it is speech."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from dubber.errors import MediaError, WeightsError
from dubber.preflight.findings import Finding
from dubber.types import Bool, Float32, Float64

LISTENED_S = 1800.0
"""Only so much of a recording is decoded: half an hour takes a second or two."""

QUIET_DBFS = -40.0
"""Speech below this is likelier a wrong gain than somebody whispering: usual recordings are near -20."""

CLIPPED_SHARE = 1e-4
"""Of the samples; a share of this size is heard as crackling."""

LONG_SILENCE_S = 2.0
LEAST_SPOKEN_SHARE = 0.05


@dataclass(frozen=True)
class SpeechFacts:
    """What is known of a recording.

    Attributes:
        file: Where it lies.
        codec: FFmpeg's name; "" where only soundfile knows the file.
        sample_rate_hz: Samples per second.
        num_channels: Channels.
        duration_s: Length.
        listened_s: How much of it, from the start, the following tells about; 0: nothing was decoded.
        peak_dbfs: Largest sample, dB of full scale.
        spoken_dbfs: Power of the parts with speech, dB of full scale; None where there are none.
        spoken_share: Share of the time in which somebody speaks, 0..1.
        silence_before_s: Before the first word.
        silence_after_s: After the last word; None where the end was not heard.
        clipped_share: Share of samples that belong to cut tops.
    """

    file: Path
    codec: str
    sample_rate_hz: int
    num_channels: int
    duration_s: float
    listened_s: float = 0.0
    peak_dbfs: float | None = None
    spoken_dbfs: float | None = None
    spoken_share: float | None = None
    silence_before_s: float | None = None
    silence_after_s: float | None = None
    clipped_share: float | None = None


def speech_header(path: Path) -> SpeechFacts:
    """What the file's header says.

    Raises:
        MediaError: Missing, without audio, empty, or damaged.
    """
    from dubber.media.audio import audio_info

    info = audio_info(path)
    if not info.duration_s > 0:
        raise MediaError("The audio is empty.", where=str(path))
    return SpeechFacts(path, info.codec, info.sample_rate_hz, info.num_channels, info.duration_s)


def listened(header: SpeechFacts) -> SpeechFacts:
    """The header's facts and those that hearing adds.

    Raises:
        MediaError: Not decodable, empty, or silent throughout.
    """
    import numpy as np

    from dubber.media.loudness import listen
    from dubber.ops.silence import RATE_HZ, level_db

    recording = listen(header.file, LISTENED_S)
    level_db_F = level_db(recording.samples_S)
    spoken_F = np.flatnonzero(_is_spoken(recording.samples_S, level_db_F))
    heard_s = len(level_db_F) / RATE_HZ
    facts = replace(
        header,
        listened_s=round(heard_s, 3),
        peak_dbfs=round(20 * math.log10(max(recording.peak, 1e-9)), 1),
        spoken_share=round(len(spoken_F) / max(len(level_db_F), 1), 3),
        clipped_share=recording.clipped_share,
    )
    if not len(spoken_F):
        return facts
    power = float(np.mean(10 ** (level_db_F[spoken_F] / 10)))
    after_s = heard_s - (spoken_F[-1] + 1) / RATE_HZ
    return replace(
        facts,
        spoken_dbfs=round(10 * math.log10(power), 1),
        silence_before_s=round(float(spoken_F[0]) / RATE_HZ, 2),
        silence_after_s=round(max(float(after_s), 0.0), 2) if recording.is_whole else None,
    )


def _is_spoken(samples_S: Float32, level_db_F: Float64) -> Bool:
    """(F,) bool; by the level alone where there is no detector of voices, which a run may do without too."""
    from dubber.models.voice_activity import speech_probability
    from dubber.ops.silence import is_voiced

    try:
        return is_voiced(level_db_F, speech_probability(samples_S))
    except WeightsError:
        return is_voiced(level_db_F)


def speech_findings(facts: SpeechFacts) -> list[Finding]:
    """What the user may not have meant."""
    found: list[Finding] = []

    def warn(code: str, message: str, advice: str) -> None:
        found.append(Finding("warning", code, message, str(facts.file), advice))

    if facts.spoken_share is not None and facts.spoken_share < LEAST_SPOKEN_SHARE:
        warn(
            "little-speech",
            f"Speech is heard in {facts.spoken_share:.0%} of the recording only.",
            "Check that it is the right file: where nobody speaks, the mouth rests.",
        )
    if facts.spoken_dbfs is not None and facts.spoken_dbfs < QUIET_DBFS:
        warn(
            "quiet-speech",
            f"The speech is very quiet ({facts.spoken_dbfs:.0f} dB of full scale).",
            "The mouth does not mind, but listeners will: make it louder before dubbing.",
        )
    if facts.clipped_share is not None and facts.clipped_share > CLIPPED_SHARE:
        warn(
            "clipped-speech",
            f"The speech is overdriven: {facts.clipped_share:.2%} of its samples are cut off at full scale.",
            "Export it again with a lower gain.",
        )
    ends = [("start", facts.silence_before_s), ("end", facts.silence_after_s)]
    for end, silence_s in ends:
        if silence_s is not None and silence_s > LONG_SILENCE_S:
            found.append(
                Finding(
                    "info",
                    f"silence-at-{end}",
                    f"The speech has {silence_s:.1f} s of silence at its {end}; the mouth rests there.",
                    str(facts.file),
                )
            )
    return found
