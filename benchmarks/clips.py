"""The clips and speech that are dubbed: any file, cut, looped or brought to a format by ffmpeg."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dubber.media.mux import find_ffmpeg

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_VIDEO = ROOT / "examples" / "speaker.mp4"
EXAMPLE_AUDIO = ROOT / "examples" / "line.wav"
NATIVE = "native"
"""Name of the format that a clip has already."""

LENGTH_TOLERANCE_S = 0.2
"""A clip this near to the wanted length is left as it is."""


@dataclass(frozen=True)
class Source:
    """A clip to be dubbed.

    Attributes:
        label: What it shows; for people who may not know the file.
        path: The file.
    """

    label: str
    path: Path

    @classmethod
    def parsed(cls, text: str) -> Source:
        """From PATH or LABEL=PATH; without a label, the example is 'example' and others have their name."""
        label, has_label, path = text.partition("=")
        if has_label:
            return cls(label, Path(path).resolve())
        found = Path(text).resolve()
        return cls("example" if found == EXAMPLE_VIDEO else found.stem, found)


@dataclass(frozen=True)
class Picture:
    """Size and rate of a video.

    Attributes:
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
    """

    width: int
    height: int
    fps: float


def parse_format(text: str) -> tuple[int, int] | None:
    """Height in lines and frames per second of '720p25'; None for `NATIVE`.

    Raises:
        ValueError: It is neither.
    """
    if text == NATIVE:
        return None
    matched = re.fullmatch(r"(\d+)p(\d+)", text)
    if matched is None:
        raise ValueError(f"'{text}' is no format: write {NATIVE}, or lines and frames per second like 720p25")
    return int(matched[1]), int(matched[2])


def prepared_clip(source: Path, folder: Path, *, picture_format: str, seconds: float | None) -> Path:
    """The clip in a format and of a length.

    Args:
        source: The clip.
        folder: Where new files go.
        picture_format: As `parse_format` takes it. Another format is encoded anew; pictures that are not
            16:9 keep their shape, before a blurred copy of themselves.
        seconds: Length; a shorter clip is looped, a longer one cut, both without encoding. None: its own.

    Returns:
        A file in the folder, or `source` itself where nothing is to be done.
    """
    wanted = parse_format(picture_format)
    clip = source
    if wanted is not None:
        clip = folder / f"{picture_format}{source.suffix}"
        _ffmpeg(*_until(seconds), "-i", str(source), *_encoding(*wanted), str(clip))
    if seconds is None or abs(duration_s(clip) - seconds) < LENGTH_TOLERANCE_S:
        return clip
    return looped_clip(clip, folder / f"of-length-{clip.name}", seconds)


def looped_clip(clip: Path, path: Path, seconds: float) -> Path:
    """A clip repeated or cut to a length, packet by packet."""
    loop = ["-stream_loop", "-1"] if duration_s(clip) < seconds else []
    _ffmpeg(*loop, "-i", str(clip), "-t", f"{seconds:g}", "-c", "copy", str(path))
    return path


def speech_of_length(audio: Path, path: Path, *, seconds: float, start_s: float) -> Path:
    """Speech repeated or cut to a length, begun at some time of it, as WAV."""
    span = ("-ss", f"{start_s:g}", "-t", f"{seconds:g}")
    _ffmpeg("-stream_loop", "-1", "-i", str(audio), *span, "-vn", str(path))
    return path


def duration_s(path: Path) -> float:
    """Length of a media file as its container tells it."""
    import av

    with av.open(str(path)) as container:
        return float((container.duration or 0) / av.time_base)


def picture_of(path: Path) -> Picture:
    """Size of a video as coded, and its frame rate."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return Picture(stream.width, stream.height, round(float(stream.guessed_rate or 0), 2))


def _until(seconds: float | None) -> list[str]:
    return [] if seconds is None else ["-t", f"{seconds:g}"]


def _encoding(lines: int, fps: int) -> list[str]:
    width = round(lines * 16 / 9 / 2) * 2
    picture = (
        f"fps={fps},split[wide][whole];"
        f"[wide]scale={width}:{lines},boxblur={lines // 20}[ground];"
        f"[whole]scale={width}:{lines}:force_original_aspect_ratio=decrease:flags=lanczos[figure];"
        "[ground][figure]overlay=(W-w)/2:(H-h)/2,setsar=1,format=yuv420p"
    )
    video = ["-filter_complex", picture, "-c:v", "libx264", "-preset", "fast", "-crf", "16"]
    return [*video, "-c:a", "aac", "-b:a", "128k"]


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)
