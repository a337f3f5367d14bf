"""Mixing recordings to one sound file, of any length in constant memory.

Index letters: S samples, C channels of a recording, D channels of the mix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from dubber.errors import MediaError
from dubber.media.decoding import SoundChunk, has_audio_stream, iterate_sound
from dubber.media.formats import USUAL_CHANNELS
from dubber.media.open_files import OpenFiles
from dubber.ops.channels import LAYOUTS, mix_matrix
from dubber.types import Float32

FADE_S = 0.01
"""Length of the crossfades between the video's own sound and what takes its place."""

MAX_RATE_HZ = 48000
"""What players and encoders take everywhere."""

_BLOCK_SAMPLES = 1 << 16
_LARGEST_WAV_BYTES = 2**32 - 2**16
_FULL_SCALE = 10 ** (-0.1 / 20)
"""Where the peak of a mix lands that had to be lowered: what rounding to 24 bits cannot clip."""


@dataclass(frozen=True)
class PlacedLine:
    """A piece of a recording and when it is heard.

    Attributes:
        voice: Number of the recording.
        at_s: When it begins in the mix.
        from_s: Where it begins in the recording.
        until_s: Where it ends there.
    """

    voice: int
    at_s: float
    from_s: float
    until_s: float


@dataclass(frozen=True)
class MixJob:
    """What is mixed.

    Attributes:
        duration_s: Length of the mix.
        voices: Recordings of speech.
        lines: What is heard of them.
        own: The video, whose sound is heard outside of `ranges`; None for silence there.
        own_track: Number of its audio track, counting from 0; None for the one that players choose.
        ranges: (start, end) in seconds.
        bed: Music and noises, heard throughout; None for none.
        bed_gain_db: By which the bed is louder.
    """

    duration_s: float
    voices: Sequence[Path]
    lines: Sequence[PlacedLine]
    own: Path | None = None
    own_track: int | None = None
    ranges: Sequence[tuple[float, float]] = ()
    bed: Path | None = None
    bed_gain_db: float = 0.0


@dataclass(frozen=True)
class Mixed:
    """What mixing made.

    Attributes:
        rate_hz: Sample rate: the highest of what went in, at most `MAX_RATE_HZ`.
        num_channels: As many as the richest recording has, rounded up to mono, stereo, 5.1 or 7.1.
        num_samples: Length.
        gain_db: By how much all was lowered, so that its peaks fit; at most 0.
    """

    rate_hz: int
    num_channels: int
    num_samples: int
    gain_db: float


def mix_sound(job: MixJob, wav: Path, scratch: Path) -> Mixed:
    """Mix recordings to a 24 bit PCM file.

    A sum beyond full scale is never clipped: then everything is lowered alike.

    Args:
        job: What is mixed.
        wav: File to write.
        scratch: A folder for passing files; 4 bytes for each sample of the mix and of the voices.

    Raises:
        MediaError: A recording is missing, has no sound or cannot be decoded; or the video has sound that
            cannot be decoded, or no such track.
    """
    formats = [_format(path) for path in (*job.voices, job.bed) if path is not None]
    if job.own is not None and has_audio_stream(job.own):
        formats.append(_format(job.own, job.own_track))
    rate_hz = min(max(rate for rate, _ in formats), MAX_RATE_HZ)
    num_wanted = max(count for _, count in formats)
    wanted = LAYOUTS[next((n for n in USUAL_CHANNELS if n >= num_wanted), USUAL_CHANNELS[-1])]
    num_samples = round(job.duration_s * rate_hz)
    raw = scratch / "mix.w64"
    try:
        with ExitStack() as stack:
            mixer = _Mixer(job, rate_hz, wanted, scratch, stack)
            target = stack.enter_context(
                soundfile.SoundFile(raw, "w", rate_hz, len(wanted), subtype="FLOAT", format="W64")
            )
            peak = 0.0
            for start in range(0, num_samples, _BLOCK_SAMPLES):
                block_SD = mixer.block(start, min(_BLOCK_SAMPLES, num_samples - start))
                peak = max(peak, float(np.max(np.abs(block_SD), initial=0.0)))
                target.write(block_SD)
        gain = _FULL_SCALE / peak if peak > 1 else 1.0
        _write_pcm(raw, wav, gain)
    except BaseException:
        wav.unlink(missing_ok=True)
        raise
    finally:
        for passing in (raw, *scratch.glob("voice*.w64")):
            passing.unlink(missing_ok=True)
    return Mixed(rate_hz, len(wanted), num_samples, 20 * math.log10(gain))


def shares(
    start: int, count: int, rate_hz: int, ranges: Sequence[tuple[float, float]], duration_s: float
) -> Float32:
    """How much is heard, sample by sample, of what fills the ranges.

    Args:
        start: First sample.
        count: S.
        rate_hz: Samples per second.
        ranges: (start, end) in seconds.
        duration_s: Length of the whole; nothing is faded at its ends.

    Returns:
        (S,) float32 in 0..1, with ramps of `FADE_S` around the ranges' borders. Ranges that touch each other
        leave no gap.
    """
    seconds_S = (start + np.arange(count)) / rate_hz
    heard_S = np.zeros(count)
    for begin_s, end_s in ranges:
        begin_s = -math.inf if begin_s <= 0 else begin_s
        end_s = math.inf if end_s >= duration_s else end_s
        if begin_s - FADE_S < (start + count) / rate_hz and end_s + FADE_S > start / rate_hz:
            heard_S += np.minimum(_ramp(seconds_S - begin_s), _ramp(end_s - seconds_S))
    return np.minimum(heard_S, 1).astype(np.float32)


class _Mixer:
    """Makes the mix block by block, in order."""

    def __init__(
        self, job: MixJob, rate_hz: int, wanted: tuple[str, ...], scratch: Path, stack: ExitStack
    ) -> None:
        self._job, self._rate_hz, self._num_wanted = job, rate_hz, len(wanted)
        self._own = None
        if job.own is not None and has_audio_stream(job.own):
            self._own = _Stream(job.own, rate_hz, wanted, job.own_track)
        self._bed = None if job.bed is None else _Stream(job.bed, rate_hz, wanted)
        self._bed_gain = np.float32(10 ** (job.bed_gain_db / 20))
        self._voices = {
            number: _Voice(job.voices[number], rate_hz, wanted, scratch / f"voice{number}.w64")
            for number in sorted({line.voice for line in job.lines})
        }
        self._files = stack.enter_context(
            OpenFiles(lambda number: soundfile.SoundFile(self._voices[number].passing))
        )
        self._lines = [(line.voice, self._voices[line.voice].cut(line)) for line in job.lines]

    def block(self, start: int, count: int) -> Float32:
        """(count, D) float32."""
        block_SD = np.zeros((count, self._num_wanted), np.float32)
        if self._own is not None:
            gone_S = shares(start, count, self._rate_hz, self._job.ranges, self._job.duration_s)
            block_SD += self._own.read(count) * (1 - gone_S)[:, None]
        if self._bed is not None:
            block_SD += self._bed.read(count) * self._bed_gain
        for number, cut in self._lines:
            if cut.first < start + count and cut.last > start:
                self._voices[number].add(block_SD, start, cut, self._files[number])
        return block_SD


class _Stream:
    """A recording at the mix's rate and channels, read from its start on; silence follows it."""

    def __init__(self, path: Path, rate_hz: int, wanted: tuple[str, ...], track: int | None = None) -> None:
        self._pieces = _resampled(_mixed_down(path, wanted, track), rate_hz)
        self._rest_SD: Float32 = np.zeros((0, len(wanted)), np.float32)

    def read(self, count: int) -> Float32:
        """The next (count, D) samples."""
        parts, missing = [self._rest_SD], count - len(self._rest_SD)
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece.samples_SC)
            missing -= len(piece.samples_SC)
        if missing > 0:
            parts.append(np.zeros((missing, self._rest_SD.shape[1]), np.float32))
        whole_SD = np.concatenate(parts)
        self._rest_SD = whole_SD[count:].copy()
        return whole_SD[:count]


@dataclass(frozen=True)
class _Cut:
    """A line, in samples of the mix.

    Attributes:
        first: Where it begins to be heard.
        last: Where it has ended.
        at: Middle of the fade at its begin.
        until: Middle of the fade at its end.
        offset: From samples of the recording to those of the mix.
        begins_within: Whether the recording has begun before.
        ends_within: Whether the recording goes on.
    """

    first: int
    last: int
    at: int
    until: int
    offset: int
    begins_within: bool
    ends_within: bool


class _Voice:
    """A recording in a passing file at the mix's rate, for lines are taken from anywhere in it."""

    def __init__(self, path: Path, rate_hz: int, wanted: tuple[str, ...], passing: Path) -> None:
        self.passing = passing
        self._rate_hz = rate_hz
        pieces = _resampled(iterate_sound(path), rate_hz)
        first = next(pieces, None)
        if first is None:
            raise MediaError("The audio is empty.", where=str(path))
        self._matrix_DC = mix_matrix(first.channels, wanted)
        with soundfile.SoundFile(
            passing, "w", rate_hz, len(first.channels), subtype="FLOAT", format="W64"
        ) as target:
            target.write(first.samples_SC)
            for piece in pieces:
                target.write(piece.samples_SC)
            self._length = target.frames

    def cut(self, line: PlacedLine) -> _Cut:
        """Where a line lies in the mix.

        A line that is cut out of its recording is faded over the cuts; a whole recording is left alone.
        """
        at, begin, end = (round(s * self._rate_hz) for s in (line.at_s, line.from_s, line.until_s))
        fade = round(FADE_S / 2 * self._rate_hz)
        begins_within, ends_within = begin > 0, end < self._length
        first = max(begin - fade, 0) if begins_within else 0
        last = min(end + fade, self._length) if ends_within else self._length
        offset = at - begin
        return _Cut(first + offset, last + offset, at, end + offset, offset, begins_within, ends_within)

    def add(self, block_SD: Float32, start: int, cut: _Cut, file: soundfile.SoundFile) -> None:
        """Add what a block that begins at a sample has of a line."""
        first, last = max(cut.first, start, 0), min(cut.last, start + len(block_SD))
        if first >= last:
            return
        file.seek(first - cut.offset)
        samples_SC = file.read(last - first, dtype="float32", always_2d=True)
        seconds_S = (np.arange(first, last) - cut.at) / self._rate_hz
        if cut.begins_within:
            samples_SC = samples_SC * _ramp(seconds_S).astype(np.float32)[:, None]
        if cut.ends_within:
            left_S = (cut.until - cut.at) / self._rate_hz - seconds_S
            samples_SC = samples_SC * _ramp(left_S).astype(np.float32)[:, None]
        block_SD[first - start : last - start] += samples_SC @ self._matrix_DC.T


def _ramp(
    seconds_S: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """From 0 to 1 around 0."""
    return np.clip(seconds_S / FADE_S + 0.5, 0, 1)


def _mixed_down(path: Path, wanted: tuple[str, ...], track: int | None) -> Iterator[SoundChunk]:
    for chunk in iterate_sound(path, track):
        samples_SD = chunk.samples_SC @ mix_matrix(chunk.channels, wanted).T
        yield SoundChunk(np.asarray(samples_SD, np.float32), chunk.rate_hz, wanted)


def _resampled(chunks: Iterator[SoundChunk], rate_hz: int) -> Iterator[SoundChunk]:
    resampler: soxr.ResampleStream | None = None
    channels: tuple[str, ...] = ()
    for chunk in chunks:
        samples_SC = np.nan_to_num(chunk.samples_SC, posinf=0, neginf=0)  # floating point may hold anything
        channels = chunk.channels
        if chunk.rate_hz != rate_hz:
            resampler = resampler or soxr.ResampleStream(
                chunk.rate_hz, rate_hz, len(channels), dtype="float32"
            )
            samples_SC = resampler.resample_chunk(samples_SC).reshape(-1, len(channels))
        yield SoundChunk(samples_SC, rate_hz, channels)
    if resampler is not None:
        nothing = np.zeros((0, len(channels)), np.float32)
        tail_SC = resampler.resample_chunk(nothing, last=True).reshape(-1, len(channels))
        yield SoundChunk(tail_SC, rate_hz, channels)


def _format(path: Path, track: int | None = None) -> tuple[int, int]:
    """A recording's sample rate and number of channels."""
    for chunk in iterate_sound(path, track):
        return chunk.rate_hz, len(chunk.channels)
    raise MediaError("The audio is empty.", where=str(path))


def _write_pcm(raw: Path, wav: Path, gain: float) -> None:
    with soundfile.SoundFile(raw) as source:
        num_bytes = 3 * source.frames * source.channels
        kind = "WAV" if num_bytes < _LARGEST_WAV_BYTES else "RF64"
        with soundfile.SoundFile(
            wav, "w", source.samplerate, source.channels, subtype="PCM_24", format=kind
        ) as target:
            for block_SD in source.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True):
                target.write(block_SD * np.float32(gain))
