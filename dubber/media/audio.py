"""Speech, as the model hears it: mono, read from files of any kind; see `dubber.media.decoding`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import soundfile
import soxr

from dubber.errors import MediaError
from dubber.media.container import check_readable, open_media
from dubber.media.decoding import (
    SPEECH_ADVICE,
    audio_stream,
    begin_s,
    iterate_sound,
    num_channels_of,
    start_s,
    zero_s,
)
from dubber.media.formats import codec_name
from dubber.ops.channels import mono_weights
from dubber.types import Float32, Speech

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

logger = logging.getLogger(__name__)

SPEECH_RATE_HZ = 16000
SILENCE_DBFS = -70.0
"""A recording that never gets louder holds no speech: a quiet room through a good microphone is near -60."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of its audio.

    Attributes:
        codec: FFmpeg's name of the coding; empty where only soundfile knows the file.
        sample_rate_hz: Samples per second.
        num_channels: Channels.
        duration_s: Length from time 0 on, the delay of sound that starts later included.
        delay_s: Seconds from time 0 to the first sample; 0 where the sound is there from the beginning.
        lead_s: Seconds from the start of the file to time 0.
        zero_s: Time 0 on the file's own clock.
        track: Number of the audio stream in the file.
    """

    codec: str
    sample_rate_hz: int
    num_channels: int
    duration_s: float
    delay_s: float = 0.0
    lead_s: float = 0.0
    zero_s: float = 0.0
    track: int = 0


def iterate_audio(path: Path) -> Generator[tuple[Float32, int]]:
    """Mono samples, chunk by chunk.

    Args:
        path: Audio file or video with sound; its default audio track is taken.

    Yields:
        (S,) float32, nominally in -1..1, and the sample rate in Hz, the same for every chunk. What a film
        has on its loudspeakers is mixed as `mono_weights` says.

    Raises:
        MediaError: Missing, without audio, or not decodable.
    """
    for chunk in iterate_sound(path):
        weights_C = mono_weights(chunk.channels)
        yield np.ascontiguousarray(chunk.samples_SC @ weights_C), chunk.rate_hz


def heard(path: Path) -> Generator[tuple[Float32, int]]:
    """`iterate_audio`, but at its end complains of a file in which nothing is to be heard.

    Raises:
        MediaError: As `iterate_audio`; empty; silent throughout.
    """
    peak, num_samples = 0.0, 0
    for chunk, rate in iterate_audio(path):
        if len(chunk):
            chunk = np.nan_to_num(chunk, posinf=0, neginf=0)  # floating point files may hold anything
            num_samples += len(chunk)
            peak = max(peak, float(np.max(np.abs(chunk))))
            yield chunk, rate
    if num_samples == 0:
        raise MediaError("The audio is empty.", where=str(path), advice=SPEECH_ADVICE)
    if not peak >= 10 ** (SILENCE_DBFS / 20):
        raise MediaError("The speech is silent.", where=str(path), advice=SPEECH_ADVICE)


def iterate_speech(path: Path, rate_hz: int = SPEECH_RATE_HZ) -> Generator[Float32]:
    """The speech in a file at one rate, chunk by chunk.

    Args:
        path: Audio file or video with sound.
        rate_hz: Wanted sample rate.

    Yields:
        (S,) float32 mono in -1..1.

    Raises:
        MediaError: See `heard`.
    """
    resampler: soxr.ResampleStream | None = None
    for chunk, rate in heard(path):
        if rate == rate_hz:
            yield np.clip(chunk, -1, 1)
            continue
        resampler = resampler or soxr.ResampleStream(rate, rate_hz, 1, dtype="float32")
        yield np.clip(resampler.resample_chunk(chunk), -1, 1)
    if resampler is not None:
        yield np.clip(resampler.resample_chunk(np.zeros(0, np.float32), last=True), -1, 1)


def write_speech(source: Path, wav: Path, rate_hz: int = SPEECH_RATE_HZ) -> int:
    """Extract the speech of a file to 16 bit mono PCM.

    Args:
        source: Audio file or video with sound.
        wav: File to write; removed if that fails.
        rate_hz: Wanted sample rate.

    Returns:
        Samples written.

    Raises:
        MediaError: See `heard`.
    """
    return write_wav(wav, iterate_speech(source, rate_hz), rate_hz)


def write_wav(wav: Path, chunks: Iterable[Float32], rate_hz: int = SPEECH_RATE_HZ) -> int:
    """Write samples as 16 bit mono PCM.

    Args:
        wav: File to write; removed if that fails.
        chunks: (S,) float32 in -1..1 each.
        rate_hz: Sample rate.

    Returns:
        Samples written.
    """
    num_samples = 0
    try:
        with soundfile.SoundFile(wav, "w", rate_hz, 1, subtype="PCM_16", format="WAV") as file:
            for chunk in chunks:
                file.write(chunk)
                num_samples += len(chunk)
    except BaseException:
        wav.unlink(missing_ok=True)
        raise
    return num_samples


def write_speech_if_any(source: Path, wav: Path, rate_hz: int = SPEECH_RATE_HZ) -> int:
    """As `write_speech`, but a file without sound, or whose sound cannot be used, gives an empty file.

    Returns:
        Samples written, perhaps 0.
    """
    try:
        return write_speech(source, wav, rate_hz)
    except MediaError as error:
        logger.info("The video's own sound is not used: %s", error)
        soundfile.write(wav, [], rate_hz, subtype="PCM_16", format="WAV")
        return 0


def read_wav(path: Path) -> tuple[Float32, int]:
    """A PCM file of ours, silent or not.

    Args:
        path: As `write_speech` made it.

    Returns:
        (S,) float32 mono and its sample rate in Hz.

    Raises:
        MediaError: Missing or damaged.
    """
    chunks = list(iterate_audio(path))
    if not chunks:
        return np.zeros(0, np.float32), SPEECH_RATE_HZ
    return np.concatenate([chunk for chunk, _ in chunks]), chunks[0][1]


def read_speech(speech: Speech) -> Float32:
    """The samples of extracted speech.

    Args:
        speech: As the speech stage made it.

    Returns:
        (S,) float32 mono in -1..1 at `speech.sample_rate_hz`.

    Raises:
        MediaError: Its file is missing or damaged.
    """
    return read_wav(speech.wav.path)[0]


class SpeechReader:
    """The samples of extracted speech, read where they are asked for: long recordings need no memory.

    Args:
        file: The speech's PCM file, open.
        num_samples: S; what follows does not belong to it.
    """

    def __init__(self, file: soundfile.SoundFile, num_samples: int) -> None:
        self._file = file
        self._num_samples = num_samples

    def __len__(self) -> int:
        """S."""
        return self._num_samples

    def __getitem__(self, part: slice, /) -> Float32:
        """(s,) float32 in -1..1, the samples of a part without a step.

        Raises:
            MediaError: The file is damaged.
        """
        start, stop, _ = part.indices(len(self))
        try:
            self._file.seek(start)
            return np.asarray(self._file.read(max(stop - start, 0), dtype="float32"), np.float32)
        except soundfile.LibsndfileError as error:
            raise MediaError("The extracted speech is damaged.", where=self._file.name) from error


@contextlib.contextmanager
def open_speech(speech: Speech, duration_s: float = float("inf")) -> Generator[SpeechReader]:
    """The samples of extracted speech, as a `dubber.types.Samples`.

    Args:
        speech: As the speech stage made it.
        duration_s: What comes later is left out.

    Raises:
        MediaError: Its file is missing or damaged.
    """
    try:
        file = soundfile.SoundFile(speech.wav.path)
    except (soundfile.LibsndfileError, OSError) as error:
        message = f"The extracted speech cannot be read ({error})."
        raise MediaError(message, where=str(speech.wav.path)) from error
    with file:
        heard_s = min(duration_s, file.frames / speech.sample_rate_hz)
        yield SpeechReader(file, round(heard_s * speech.sample_rate_hz))


def audio_duration_s(path: Path) -> float:
    """Seconds of audio in a file from time 0 on, see `AudioInfo`.

    Raises:
        MediaError: Missing, without audio, or damaged.
    """
    return audio_info(path).duration_s


def audio_info(path: Path) -> AudioInfo:
    """What a file says of its default audio track.

    Raises:
        MediaError: Missing, without audio, or damaged.
    """
    check_readable(path)
    known: AudioInfo | None = None
    with contextlib.suppress(soundfile.LibsndfileError, RuntimeError, OSError):
        info = soundfile.info(str(path))
        known = AudioInfo("", int(info.samplerate), int(info.channels), float(info.frames / info.samplerate))
    try:
        with open_media(path) as container:
            found = _described(container, path)
    except MediaError:
        if known is None:
            raise
        return known
    if known is not None:
        return replace(known, codec=found.codec, track=found.track, zero_s=found.zero_s)
    if np.isnan(found.duration_s):
        duration_s = sum(len(chunk) / rate_hz for chunk, rate_hz in iterate_audio(path))
        return replace(found, duration_s=duration_s)
    return found


def _described(container: InputContainer, path: Path) -> AudioInfo:
    stream = audio_stream(container, path)
    zero = zero_s(container, path)
    duration_s = _duration_s(container, stream, zero)
    return AudioInfo(
        codec=codec_name(stream.codec_context.name),
        sample_rate_hz=int(stream.codec_context.sample_rate or 0),
        num_channels=num_channels_of(stream),
        duration_s=float("nan") if duration_s is None else duration_s,
        delay_s=float(max(begin_s(stream, zero) - zero, Fraction(0))),
        lead_s=float(zero - start_s(container)),
        zero_s=float(zero),
        track=stream.index,
    )


def _duration_s(container: InputContainer, stream: AudioStream, zero: Fraction) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base + begin_s(stream, zero) - zero))
    if not container.duration:
        return None
    return max(0.0, float(Fraction(container.duration, av.time_base) + start_s(container) - zero))
