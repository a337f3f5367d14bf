"""Putting sound to the finished video, and checking that the result is what it should be.

ffmpeg runs here and nowhere else, always from an argument list.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np

from dubber.errors import ConfigError, StageError, ToolMissingError
from dubber.media.audio import AudioInfo, audio_info
from dubber.media.container import open_media
from dubber.media.reader import probe

logger = logging.getLogger(__name__)

LABEL = "Edited with dubber: the mouth was re-made to match other speech."
"""Said in the file itself: whoever inspects it can know that the picture was changed."""

CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi")

_PCM = ("pcm_s16le", "pcm_s24le", "pcm_f32le")
_COPYABLE: dict[str, tuple[str, ...]] = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac", *_PCM),
    "mkv": ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus", "vorbis", *_PCM),
    "webm": ("opus", "vorbis"),
    "avi": ("mp3", "ac3", "pcm_s16le"),
}
"""Codecs that players expect in a container; others are encoded again."""

_HARDWARE = tuple(f"{kind}_{by}" for kind in ("h264", "hevc") for by in ("nvenc", "qsv", "videotoolbox"))
_VIDEO_OF_WEBM = ("libvpx", "libvpx-vp9", "libaom-av1", "libsvtav1")
_NOT_FOR_AVI = ("libx264", "libx265", *_HARDWARE, *_VIDEO_OF_WEBM)
"""AVI stores no frame times, so it cannot hold frames that are coded in another order than they are shown."""
_MIN_MP3_RATE_HZ = 16000
"""MP4 names MPEG-1 and MPEG-2 layer 3 only, not the lower rates of the unofficial MPEG-2.5."""

_TRIM_TOLERANCE_S = 0.03
"""About one packet: a copied stream cannot be cut finer."""

_MIN_LEAD_S = 0.01
"""Half a packet; the few ms before time 0 that a decoder of Opus needs are no sound to leave out."""

_STDERR_LINES = 8


@dataclass(frozen=True)
class AudioPlan:
    """What happens to the user's audio.

    Attributes:
        is_copied: Whether its packets go in untouched.
        codec: FFmpeg's name of the encoder, "copy" when copied.
        bit_rate: For the encoder; empty for none.
        heard_s: Cut after so many seconds; None where nothing is cut.
        padded_s: Silence is added until the sound lasts so many seconds; None where nothing is added.
        skipped_s: Left out from the start of the file: what sounds before a video's first picture.
    """

    is_copied: bool
    codec: str
    bit_rate: str = ""
    heard_s: float | None = None
    padded_s: float | None = None
    skipped_s: float = 0.0


def plan_audio(
    info: AudioInfo, container: str, heard_s: float, output_s: float, *, may_copy: bool = True
) -> AudioPlan:
    """Decide whether the audio is copied, cut, padded.

    Args:
        info: The user's audio.
        container: One of `CONTAINERS`.
        heard_s: Seconds of it that are heard.
        output_s: Seconds the output lasts. Encoded audio is padded to it; copied audio just ends.
        may_copy: False forces encoding.
    """
    cut_s = heard_s if info.duration_s > heard_s + _TRIM_TOLERANCE_S else None
    skipped_s = info.lead_s if info.lead_s > _MIN_LEAD_S else 0.0
    has_low_rate = info.codec == "mp3" and info.sample_rate_hz < _MIN_MP3_RATE_HZ
    codec = info.codec.removesuffix("float")  # FFmpeg calls its floating point MP3 decoder "mp3float"
    if may_copy and codec in _COPYABLE[container] and not has_low_rate:
        return AudioPlan(is_copied=True, codec="copy", heard_s=cut_s, skipped_s=skipped_s)
    encoder = "libopus" if container == "webm" else "aac"
    padded_s = max(output_s - info.delay_s, 0.0)
    return AudioPlan(False, encoder, "192k", heard_s=cut_s, padded_s=padded_s, skipped_s=skipped_s)


def mux_command(
    executable: str,
    video: Path,
    audio: Path,
    output: Path,
    plan: AudioPlan,
    *,
    last_duration: int | None = None,
    is_labelled: bool = True,
) -> list[str]:
    """The argument list that puts audio to a video without touching its pictures.

    Args:
        executable: ffmpeg.
        video: The encoded pictures, starting at time 0.
        audio: The user's audio, or video with sound; its first audio stream is taken.
        output: The file to make; its suffix names the container.
        plan: What happens to the audio.
        last_duration: Ticks of the last packet of `video`; see `uneven_last_duration`.
        is_labelled: Whether the file says that it was edited.
    """
    limit = {"ss": f"{plan.skipped_s:.6f}"} if plan.skipped_s > 0 else {}
    limit |= {} if plan.heard_s is None else {"t": f"{plan.heard_s:.6f}"}
    sound = ffmpeg.input(f"file:{audio}", **limit)["a:0"]
    options: dict[str, str | int] = {"c:v": "copy", "c:a": plan.codec}
    if plan.bit_rate:
        options["b:a"] = plan.bit_rate
    if plan.padded_s is not None:
        options["af"] = f"apad=whole_dur={plan.padded_s:.6f}"
    if plan.is_copied and output.suffix not in {".mp4", ".mov"}:
        # Packets before time 0, which MP4 hides, would make the pictures of other containers start later.
        options["copypriorss:a"] = 0
    # Bit-exact: the same inputs give the same bytes, without dates and version strings.
    options |= {"fflags": "+bitexact", "flags:a": "+bitexact", "map_metadata": -1}
    if is_labelled:
        options["metadata"] = f"comment={LABEL}"
    if output.suffix in {".mp4", ".mov"}:
        options["movflags"] = "+faststart"
        if last_duration is not None:
            # Of the durations MP4 is given it uses the last packet's only, so all may be set to that.
            options["bsf:v"] = f"setts=pts=PTS:dts=DTS:duration={last_duration}"
    pictures = ffmpeg.input(f"file:{video}")["v:0"]
    graph = ffmpeg.output(pictures, sound, f"file:{output}", **options)
    graph = graph.global_args("-hide_banner", "-nostdin", "-loglevel", "error")
    arguments: list[str] = ffmpeg.compile(graph, cmd=executable, overwrite_output=True)
    return arguments


def mux(
    video: Path,
    audio: Path,
    output: Path,
    *,
    heard_s: float,
    output_s: float,
    is_labelled: bool = True,
) -> bool:
    """Put the user's audio to encoded pictures.

    Args:
        video: The pictures.
        audio: The user's audio.
        output: The file to make.
        heard_s: Seconds of the audio that are heard.
        output_s: Seconds the output lasts.
        is_labelled: Whether the file says that it was edited.

    Returns:
        Whether the audio was copied untouched.

    Raises:
        ToolMissingError: There is no ffmpeg.
        StageError: ffmpeg failed.
    """
    executable = find_ffmpeg()
    container = output.suffix.removeprefix(".")
    info = audio_info(audio)
    copied = plan_audio(info, container, heard_s, output_s)
    encoded = plan_audio(info, container, heard_s, output_s, may_copy=False)
    last_duration = uneven_last_duration(video)
    # Each attempt asks less of ffmpeg: not to set durations (before 5.1 it cannot), not to copy the audio.
    attempts = dict.fromkeys((p, d) for p in (copied, encoded) for d in (last_duration, None))
    failure: StageError | None = None
    for plan, duration in attempts:
        try:
            command = mux_command(
                executable, video, audio, output, plan, last_duration=duration, is_labelled=is_labelled
            )
            run_ffmpeg(command)
        except StageError as error:
            logger.warning("Muxing is tried again another way. (%s)", error.message)
            failure = failure or error
        else:
            return plan.is_copied
    raise failure or StageError("Nothing was muxed.", where=str(output))


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


def find_ffmpeg() -> str:
    """The system's ffmpeg, else the one imageio-ffmpeg carries.

    Raises:
        ToolMissingError: There is neither.
    """
    executable = shutil.which("ffmpeg")
    if executable is not None:
        return executable
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise ToolMissingError("ffmpeg was not found.") from error


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


def check_container(container: str, codec: str) -> None:
    """Refuse pairs of container and video codec that no player takes.

    Raises:
        ConfigError: Unknown container, or the codec does not belong in it.
    """
    if container not in CONTAINERS:
        advice = f"Choose an output name that ends in one of: {', '.join('.' + name for name in CONTAINERS)}."
        raise ConfigError(f"Files of kind '.{container}' cannot be written.", where="-o", advice=advice)
    if container == "webm" and codec not in _VIDEO_OF_WEBM:
        advice = "Choose `--vcodec libvpx-vp9`, or an output name that ends in .mp4."
        raise ConfigError(f"WebM cannot hold video of '{codec}'.", where="--vcodec", advice=advice)
    if container == "avi" and codec in _NOT_FOR_AVI:
        advice = "Choose `--vcodec mpeg4`, or an output name that ends in .mp4."
        raise ConfigError(f"AVI cannot hold video of '{codec}'.", where="--vcodec", advice=advice)
    if container in {"mp4", "mov"} and codec == "ffv1":
        advice = "Choose an output name that ends in .mkv."
        raise ConfigError(
            f"{container.upper()} cannot hold video of '{codec}'.", where="--vcodec", advice=advice
        )


def verify_output(
    path: Path, *, num_frames: int, duration_s: float, size: tuple[int, int], needs_audio: bool = True
) -> None:
    """Decode a finished file from end to end and compare it with what was to be made.

    Args:
        path: The file.
        num_frames: Frames it must hold.
        duration_s: Length of its video; half a frame or 20 ms may be missing or too many, in footage of
            uneven rhythm the longest frame.
        size: (height, width) of its pictures.
        needs_audio: Whether there must be sound.

    Raises:
        StageError: It is not what was to be made.
        MediaError: It cannot be decoded.
    """
    clip = probe(path)
    longest_s = float(np.max(np.diff(clip.times_s_T), initial=0.0))
    is_even = longest_s * float(clip.frame_rate) < 1.5
    tolerance_s = max(0.02, (0.5 if is_even else 1.0) * longest_s)
    if clip.num_frames != num_frames:
        raise StageError(
            f"The output holds {clip.num_frames} frames instead of {num_frames}.", where=str(path)
        )
    if abs(clip.duration_s - duration_s) > tolerance_s:
        message = f"The output lasts {clip.duration_s:.3f} s instead of {duration_s:.3f} s."
        raise StageError(message, where=str(path))
    if clip.size != size:
        raise StageError(f"The output's size is {clip.size} instead of {size}.", where=str(path))
    if needs_audio:
        with open_media(path) as container:
            num_samples = sum(f.samples for f in container.decode(audio=0)) if container.streams.audio else 0
        if num_samples == 0:
            raise StageError("The output has no sound.", where=str(path))
