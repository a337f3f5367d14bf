"""Putting sound and the source's other streams to the finished pictures.

ffmpeg runs here and nowhere else, always from an argument list.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dubber.errors import StageError, ToolMissingError
from dubber.media import formats
from dubber.media.audio import AudioInfo, audio_info
from dubber.media.container import open_media
from dubber.media.decoder import has_alpha_beside
from dubber.media.decoding import is_unreadable
from dubber.media.mux_command import chapters_text, mux_command
from dubber.media.mux_job import AudioPlan, MuxJob, Words
from dubber.media.stream_plan import StreamPlan
from dubber.media.streams import Kind, SourceStreams, cover_pictures

logger = logging.getLogger(__name__)

_MIN_MP3_RATE_HZ = 16000
"""MP4 names MPEG-1 and MPEG-2 layer 3 only, not the lower rates of the unofficial MPEG-2.5."""

_TRIM_TOLERANCE_S = 0.03
"""About one packet: a copied stream cannot be cut finer."""

_FIRST_EXACT_OPUS = 61
"""libavformat of FFmpeg 7. Before it, pictures beside Opus in Matroska and WebM come some ms too late."""

_UNSURE: tuple[Kind, ...] = ("data", "video", "cover", "attachment")
"""Streams that a muxer is most likely to refuse."""

_STDERR_LINES = 8


@dataclass(frozen=True)
class Muxed:
    """What muxing did.

    Attributes:
        is_audio_copied: Whether the new speech went in untouched.
        streams: What became of the source's other streams.
    """

    is_audio_copied: bool
    streams: StreamPlan


def plan_audio(
    info: AudioInfo, container: str, heard_s: float, output_s: float, *, may_copy: bool = True
) -> AudioPlan:
    """Decide whether the audio is copied, cut, padded.

    Args:
        info: The user's audio.
        container: One of `formats.CONTAINERS`.
        heard_s: Seconds of it that are heard.
        output_s: Seconds the output lasts. Encoded audio is padded to it; copied audio just ends.
        may_copy: False forces encoding.
    """
    cut_s = heard_s if info.duration_s > heard_s + _TRIM_TOLERANCE_S else None
    has_low_rate = info.codec == "mp3" and info.sample_rate_hz < _MIN_MP3_RATE_HZ
    # AVI tells no times of sound: what begins later would begin too early.
    has_no_times = container == "avi" and info.delay_s > 0
    # QuickTime spells the layout of plain samples out, which PyAV cannot read beyond 5.1.
    is_odd = container in formats.QUICKTIME and is_unreadable(info.codec, info.num_channels)
    is_refused = has_low_rate or has_no_times or is_odd
    if may_copy and info.codec in formats.PLAYED_AUDIO[container] and not is_refused:
        return AudioPlan("copy", info, output_s, heard_s=cut_s)
    encoder = formats.audio_encoder(container)
    return AudioPlan(encoder, info, output_s, heard_s=cut_s)


def mux(
    video: Path,
    audio: Path,
    output: Path,
    *,
    heard_s: float,
    output_s: float,
    may_copy: bool = True,
    source: SourceStreams | None = None,
    streams: StreamPlan | None = None,
    words: Words | None = None,
) -> Muxed:
    """Put the user's audio, and the source's other streams, to encoded pictures.

    Args:
        video: The pictures, starting at time 0.
        audio: The user's audio.
        output: The file to make; its suffix names the container.
        heard_s: Seconds of the audio that are heard.
        output_s: Seconds the output lasts.
        may_copy: Whether the audio goes in untouched where it can; False for plain samples of our own, which
            nobody asked to have in full size.
        source: The file that the pictures come from.
        streams: What is kept of it.
        words: What the output says of itself.

    Raises:
        ToolMissingError: There is no ffmpeg.
        StageError: ffmpeg failed.
    """
    container = output.suffix.removeprefix(".")
    info = audio_info(audio)
    job = MuxJob(
        executable=find_ffmpeg(),
        video=video,
        audio=audio,
        output=output,
        sound=plan_audio(info, container, heard_s, output_s, may_copy=may_copy),
        source=source,
        streams=streams or StreamPlan(),
        words=words or Words(),
        last_duration=uneven_last_duration(video),
        has_alpha=_has_alpha(video),
    )
    if job.holds_opus and _libavformat(job.executable) < _FIRST_EXACT_OPUS:
        job = replace(job, executable=_bundled_ffmpeg() or job.executable)
    encoded = plan_audio(info, container, heard_s, output_s, may_copy=False)
    failure: StageError | None = None
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".mux-") as folder:
        for attempt in _attempts(replace(job, side_folder=Path(folder)), encoded):
            try:
                _run(attempt)
            except StageError as error:
                logger.info("Muxing is tried again another way. (%s)", error.message)
                failure = failure or error
            else:
                return Muxed(attempt.sound.is_copied, attempt.streams)
    output.unlink(missing_ok=True)
    raise failure or StageError("Nothing was muxed.", where=str(output))


def _attempts(job: MuxJob, encoded: AudioPlan) -> Iterator[MuxJob]:
    """Each attempt asks less of ffmpeg.

    Not to set durations (before 5.1 it cannot), not to copy the audio, not to keep streams that it may
    refuse, not to keep any.
    """
    every: tuple[Kind, ...] = (*_UNSURE, "audio", "subtitle")
    plans = dict.fromkeys((job.streams, without(job.streams, _UNSURE), without(job.streams, every)))
    for streams in plans:
        for sound in dict.fromkeys((job.sound, encoded)):
            for duration in dict.fromkeys((job.last_duration, None)):
                yield replace(job, streams=streams, sound=sound, last_duration=duration)


def without(plan: StreamPlan, kinds: tuple[Kind, ...]) -> StreamPlan:
    """A plan that keeps no streams of some kinds, and says so."""
    dropped = [each.stream for each in plan.kept if each.stream.kind in kinds]
    said = tuple(f"The {stream} was left out: it could not be copied." for stream in dropped)
    kept = tuple(each for each in plan.kept if each.stream not in dropped)
    return replace(plan, kept=kept, left_out=plan.left_out + said)


def _run(job: MuxJob) -> None:
    if job.streams.chapters:
        job.chapters.write_text(chapters_text(job.streams.chapters), encoding="utf-8")
    if job.source is not None and job.attached_covers:
        pictures = cover_pictures(job.source.path, [cover.index for cover in job.attached_covers])
        for cover, picture in zip(job.attached_covers, pictures, strict=True):
            job.cover_file(cover).write_bytes(picture)
    run_ffmpeg(mux_command(job))


def uneven_last_duration(video: Path) -> int | None:
    """How long the last packet of a video lasts, in ticks, where that is not the average.

    ffmpeg 5 and older does not read that duration from MP4 when it copies, and puts the average there.

    Args:
        video: The encoded pictures.
    """
    with open_media(video) as container:
        durations = [packet.duration for packet in container.demux(video=0) if packet.size]
    is_even = len({duration for duration in durations if duration is not None}) <= 1
    return None if is_even else durations[-1]


def _has_alpha(video: Path) -> bool:
    with open_media(video) as container:
        return has_alpha_beside(container.streams.video[0])


def find_ffmpeg() -> str:
    """The system's ffmpeg, else the one imageio-ffmpeg carries.

    Raises:
        ToolMissingError: There is neither.
    """
    executable = shutil.which("ffmpeg") or _bundled_ffmpeg()
    if executable is None:
        raise ToolMissingError("ffmpeg was not found.")
    return executable


def _bundled_ffmpeg() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


@cache
def _libavformat(executable: str) -> int:
    """Major version of the library in an ffmpeg; FFmpeg's own version has no one form."""
    try:
        done = subprocess.run([executable, "-version"], capture_output=True, check=False)
    except OSError as error:
        raise ToolMissingError("ffmpeg cannot be started.", where=executable) from error
    found = re.search(rb"libavformat\s+(\d+)", done.stdout)
    return int(found[1]) if found else 0


def run_ffmpeg(arguments: list[str]) -> None:
    """Run ffmpeg and wait; the only place where it is run.

    Args:
        arguments: Executable and arguments.

    Raises:
        ToolMissingError: It cannot be started.
        StageError: It failed; the message holds the end of what it said.
    """
    logger.debug("Running %s", arguments)
    try:
        done = subprocess.run(arguments, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ToolMissingError("ffmpeg cannot be started.", where=arguments[0]) from error
    if done.returncode != 0:
        tail = "\n".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-_STDERR_LINES:])
        raise StageError(f"ffmpeg failed with code {done.returncode}: {tail}")
