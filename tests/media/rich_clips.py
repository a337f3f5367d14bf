"""A clip with everything that a container can hold besides its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dubber.media.mux import find_ffmpeg, run_ffmpeg
from tests.media.clips import write_clip, write_tone

SUBTITLES = "1\n00:00:00,200 --> 00:00:00,500\nHello <i>you</i>\n\n2\n00:00:00,700 --> 00:00:00,900\nagain\n"

FACTS = """;FFMETADATA1
title=A film\\; \\#1
artist=Somebody
comment=Shot on a phone
[CHAPTER]
TIMEBASE=1/1000
START={start}
END={middle}
title=One \\= 1
[CHAPTER]
TIMEBASE=1/1000
START={middle}
END={end}
title=Zwei\\; ž
"""

FONT = bytes(range(256)) * 4


def write_rich(path: Path, folder: Path, *, ticks: list[int], start_s: float = 0.0) -> Path:
    """A clip with an English and a German audio track, the German of six channels, and what follows.

    French and Spanish subtitles (the latter as ASS, but not in MP4), two chapters, a title, a date, a
    comment, a cover picture and, in Matroska, an attached font, or, in MP4, a timecode.
    """
    is_matroska = path.suffix == ".mkv"
    video = write_clip(folder / "rich_pictures.mp4", ticks)
    stereo, surround = write_tone(folder / "stereo.wav", 1.0, 48000, 2), folder / "six.wav"
    write_tone(surround, 1.0, 48000, 6)
    (folder / "fr.srt").write_text(SUBTITLES)
    start = round(1000 * start_s)
    facts = FACTS.format(start=start, middle=start + 400, end=start + 1000)
    (folder / "facts.txt").write_text(facts, encoding="utf-8")
    (folder / "font.ttf").write_bytes(FONT)
    write_cover(folder / "cover.png")
    inputs = [video, stereo, surround, folder / "fr.srt", folder / "fr.srt", folder / "facts.txt"]
    command = [find_ffmpeg(), "-y", "-loglevel", "error", *(w for each in inputs for w in ("-i", str(each)))]
    command += ["-i", str(folder / "cover.png")]
    command += [w for number in range(5) for w in ("-map", str(number))]
    command += [
        "-map_metadata",
        "5",
        "-map_chapters",
        "5",
        "-c:v:0",
        "copy",
        "-c:a:0",
        "aac",
        "-c:a:1",
        "ac3",
    ]
    command += ["-metadata", "creation_time=2020-01-02T03:04:05Z"]
    for place, language in (("a:0", "eng"), ("a:1", "deu"), ("s:0", "fra"), ("s:1", "spa")):
        command += [f"-metadata:s:{place}", f"language={language}"]
    if is_matroska:
        command += ["-c:s:0", "subrip", "-c:s:1", "ass", "-metadata:s:a:1", "title=Kommentar"]
        command += _attached(folder / "font.ttf", 0, "font/ttf")
        command += _attached(folder / "cover.png", 1, "image/png")
    else:
        command += ["-map", "6", "-c:v:1", "copy", "-disposition:v:1", "attached_pic", "-c:s", "mov_text"]
        command += ["-timecode", "01:00:00:00"]
    run_ffmpeg([*command, "-output_ts_offset", str(start_s), str(path)])
    return path


def write_cover(path: Path) -> Path:
    import cv2

    cv2.imwrite(str(path), np.full((32, 32, 3), 90, np.uint8))
    return path


def _attached(file: Path, number: int, mime_type: str) -> list[str]:
    return ["-attach", str(file), f"-metadata:s:t:{number}", f"mimetype={mime_type}"]
