"""Decoding sound of any kind in chunks: soundfile where it knows the file, PyAV for the rest, also videos.

Time 0 of the samples is the first picture of a video that decodes, in other files the start of the file:
where the sound begins later, silence comes first; where it begins earlier, that much is left out. Gaps in its
timestamps become silence, so that what follows stays in its place.

Index letters: S samples, C channels.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
import soundfile

from dubber.errors import MediaError
from dubber.media.container import (
    INCOMPLETE_ADVICE,
    check_readable,
    decodable,
    open_media,
)
from dubber.media.decoder import first_picture_s
from dubber.ops.channels import named
from dubber.types import Float32
from dubber.units import seconds_to_samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

logger = logging.getLogger(__name__)

SPEECH_ADVICE = "The second argument must hold the speech to be said."

_CHUNK_SAMPLES = 1 << 16
_MOST_PCM_CHANNELS = 6
_MAX_PLAIN_CHANNELS = 2
"""soundfile does not tell which loudspeaker a channel is for. From three on it matters; Vorbis and Opus have
an order of their own, other files that of `LAYOUTS`.
"""
_MIN_DELAY_S = 0.0005
_MIN_GAP_S, _MAX_GAP_S = 0.1, 600.0
"""Shorter gaps are jitter of timestamps, as FFmpeg's aresample takes them; longer ones nonsense."""


@dataclass(frozen=True)
class SoundChunk:
    """A piece of sound.

    Attributes:
        samples_SC: (S, C) float32, nominally in -1..1.
        rate_hz: Sample rate, the same for all chunks of a file.
        channels: C names, see `dubber.ops.channels`.
    """

    samples_SC: Float32
    rate_hz: int
    channels: tuple[str, ...]


def iterate_sound(path: Path, track: int | None = None) -> Generator[SoundChunk]:
    """The sound of one of a file's audio tracks, chunk by chunk.

    Args:
        path: Audio file or video with sound.
        track: Number of the audio track, counting from 0; None for the one that players choose.

    Yields:
        Pieces that follow each other without gap.

    Raises:
        MediaError: Missing, without audio, or not decodable.
    """
    check_readable(path)
    if track is not None:
        yield from _iterate_with_av(path, track)
        return
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        yield from _iterate_with_av(path)
        return
    with file:
        if file.channels <= _MAX_PLAIN_CHANNELS or file.format != "OGG":
            yield from _iterate_with_soundfile(file, path)
            return
    yield from _iterate_with_av(path)


def has_audio_stream(path: Path) -> bool:
    """Whether a file has sound at all, be it readable or not.

    Raises:
        MediaError: The file cannot be read.
    """
    with open_media(path) as container:
        return len(container.streams.audio) > 0


def is_heard(path: Path) -> bool:
    """Whether any sound of a file's default audio track can be decoded; damaged pieces do not matter.

    Raises:
        MediaError: Missing, without audio, or not decodable.
    """
    with open_media(path) as container:
        return any(frame.samples for frame in _decoded(container, audio_stream(container, path), path))


def audio_stream(container: InputContainer, path: Path, number: int | None = None) -> AudioStream:
    """An audio track.

    Args:
        container: The file, open.
        path: Its path.
        number: Of the track, counting from 0; None for the one that players choose: the default one, else
            the first.

    Raises:
        MediaError: There is none, or PyAV cannot read it.
    """
    every = container.streams.audio
    if not every:
        raise MediaError("The file has no audio stream.", where=str(path), advice=SPEECH_ADVICE)
    if number is not None and number >= len(every):
        advice = f"It has {len(every)} audio tracks; they are counted from 0."
        raise MediaError(f"The file has no audio track {number}.", where=str(path), advice=advice)
    tracks = decodable(every if number is None else [every[number]])
    if not tracks:
        advice = "Convert the sound to WAV or FLAC."
        raise MediaError("The audio is of a kind that cannot be decoded.", where=str(path), advice=advice)
    chosen = (track for track in tracks if track.disposition & av.stream.Disposition.default)
    track = next(chosen, tracks[0])
    num_channels = num_channels_of(track)
    if "mov" in container.format.name.split(",") and is_unreadable(track.codec_context.name, num_channels):
        message = f"Uncompressed sound of {num_channels} channels cannot be read from QuickTime files."
        raise MediaError(message, where=str(path), advice="Convert the sound to WAV or FLAC.")
    return track


def num_channels_of(track: AudioStream) -> int:
    """Channels of a track; of uncompressed sound by its bit rate, since asking PyAV may end the process."""
    context = track.codec_context
    bits = re.search(r"^pcm_[a-z]+(\d+)", context.name)
    if bits is None or not context.bit_rate or not context.sample_rate:
        return int(track.channels)
    return round(context.bit_rate / (context.sample_rate * int(bits[1])))


def is_unreadable(codec: str, num_channels: int) -> bool:
    """Whether PyAV up to 19.0 ends the process on QuickTime's sound: where it spells its own layout out."""
    return codec.startswith("pcm_") and num_channels > _MOST_PCM_CHANNELS


def zero_s(container: InputContainer, path: Path) -> Fraction:
    """When time 0 is, on the container's clock."""
    picture_s = first_picture_s(path)
    return start_s(container) if picture_s is None else picture_s


def start_s(container: InputContainer) -> Fraction:
    """When the container begins, on its own clock."""
    return Fraction(container.start_time or 0, av.time_base)


def begin_s(stream: AudioStream, default_s: Fraction) -> Fraction:
    """When a stream begins, on the container's clock."""
    if stream.start_time is None or stream.time_base is None:
        return default_s
    return stream.start_time * stream.time_base


def _iterate_with_soundfile(file: soundfile.SoundFile, path: Path) -> Iterator[SoundChunk]:
    rate_hz, channels = int(file.samplerate), named(("",) * file.channels)
    try:
        # Until nothing comes: `blocks` goes by the length that the header claims, be it of years.
        while len(block := file.read(_CHUNK_SAMPLES, dtype="float32", always_2d=True)):
            yield SoundChunk(np.asarray(block, np.float32), rate_hz, channels)
    except soundfile.LibsndfileError as error:
        message = f"The audio cannot be decoded to its end ({error})."
        raise MediaError(message, where=str(path), advice=INCOMPLETE_ADVICE) from error


def _iterate_with_av(path: Path, track: int | None = None) -> Iterator[SoundChunk]:
    with open_media(path) as container:
        stream = audio_stream(container, path, track)
        placed: _Placed | None = None
        for frame in _decoded(container, stream, path):
            if placed is None:
                placed = _Placed(frame, stream, zero_s(container, path))
            for chunk in placed.add(frame):
                if len(chunk.samples_SC):
                    yield chunk


def _decoded(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[AudioFrame]:
    num_damaged = num_good = 0
    for packet in container.demux(stream):
        try:
            frames: list[AudioFrame] = stream.decode(packet)
        except av.error.EOFError:
            break
        except av.error.FFmpegError:
            num_damaged += 1
            continue
        num_good += len(frames)
        yield from frames
    if num_damaged and not num_good:
        raise MediaError("The audio cannot be decoded.", where=str(path), advice=INCOMPLETE_ADVICE)
    if num_damaged:
        logger.warning("%s: %d damaged pieces of audio are left out.", path.name, num_damaged)


class _Placed:
    """Puts decoded frames where their timestamps say, in the rate and channels of the first one."""

    def __init__(self, first: AudioFrame, stream: AudioStream, zero: Fraction) -> None:
        self._rate_hz = first.sample_rate
        names = tuple(channel.name for channel in first.layout.channels)
        num_channels = first.layout.nb_channels
        self._channels = named(names if len(names) == num_channels else ("",) * num_channels)
        self._layout = first.layout
        self._format = (first.format.name, first.layout.name, first.sample_rate)
        self._resampler = self._new_resampler()
        self._zero = zero
        self._default_s = begin_s(stream, zero)
        self._position = 0  # of the next sample, counted from time 0
        self._has_begun = False

    def add(self, frame: AudioFrame) -> Iterator[SoundChunk]:
        """What a frame adds: silence before it, and itself, without what lies before time 0."""
        wanted = self._wanted(frame)
        if not self._has_begun:
            self._has_begun = True
            self._position = min(wanted, 0) if abs(wanted) > _MIN_DELAY_S * self._rate_hz else 0
        gap = wanted - self._position
        least_s = _MIN_DELAY_S if self._position == 0 else _MIN_GAP_S
        if least_s * self._rate_hz < gap < _MAX_GAP_S * self._rate_hz:
            yield from self._silence(gap)
        frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if frame_format != self._format:  # as broadcasts do between programmes
            self._format, self._resampler = frame_format, self._new_resampler()
        for plain in self._resampler.resample(frame):
            samples_SC = np.asarray(plain.to_ndarray().reshape(-1, len(self._channels)), np.float32)
            num_early = max(-self._position, 0)
            self._position += len(samples_SC)
            yield self._chunk(samples_SC[num_early:])

    def _new_resampler(self) -> av.AudioResampler:
        # Interleaved: of planar samples PyAV counts a plane too many from eight channels on, and reads it.
        return av.AudioResampler(format="flt", layout=self._layout, rate=self._rate_hz)

    def _wanted(self, frame: AudioFrame) -> int:
        seconds = self._default_s
        if frame.pts is not None and frame.time_base:
            seconds = frame.pts * frame.time_base
        elif self._has_begun:
            return self._position
        return seconds_to_samples(seconds - self._zero, self._rate_hz)

    def _silence(self, count: int) -> Iterator[SoundChunk]:
        while count > 0:
            size = min(count, _CHUNK_SAMPLES)
            count -= size
            self._position += size
            yield self._chunk(np.zeros((size, len(self._channels)), np.float32))

    def _chunk(self, samples_SC: Float32) -> SoundChunk:
        return SoundChunk(np.ascontiguousarray(samples_SC), self._rate_hz, self._channels)
