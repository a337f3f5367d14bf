"""Footage as it really comes: each trap is a short talking clip made to go wrong in one way."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from dubber.media.mux import find_ffmpeg
from tests.synth import SPEECH_RATE_HZ, make_clip, make_wall_clip, talking_sound, vfr_pts

NUM_FRAMES = 40
SIZE = (240, 240)

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
"""Mastering display as x265 takes it: Display P3, 1000 cd/m2."""


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg; what it prints is shown where it fails."""
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Trap:
    """A clip and what must become of it.

    Attributes:
        name: What is odd about it.
        make: Writes it into a folder and gives its path.
        exit_code: Of the run.
        settings: Overrides of the configuration.
        suffix: Of the output; empty: the clip's own.
        dubbed: Least and most share of frames whose mouth is re-made.
        keeps: Kinds of streams of the source and how many of each the output must have.
        pixel_format: The output's; empty: the source's.
        outside_db: Least PSNR outside the mouth.
        speech: Writes the speech; None: a plain wav of the clip's length.
    """

    name: str
    make: Callable[[Path], Path]
    exit_code: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""
    dubbed: tuple[float, float] = (0.9, 1.0)
    keeps: dict[str, int] = field(default_factory=dict)
    pixel_format: str = ""
    outside_db: float = 40.0
    speech: Callable[[Path], Path] | None = None


def plain(folder: Path, **options: Any) -> Path:
    """The clip that the traps are made from."""
    return make_clip(folder / "plain.mp4", **{"num_frames": NUM_FRAMES, "size": SIZE, **options}).path


def recoded(name: str, *arguments: str, **options: Any) -> Callable[[Path], Path]:
    """The plain clip, sent through ffmpeg."""

    def make(folder: Path) -> Path:
        ffmpeg("-i", plain(folder, **options), *arguments, folder / name)
        return folder / name

    return make


def at_rate(rate: Fraction) -> Callable[[Path], Path]:
    """The clip at another rate."""
    return lambda folder: plain(folder, frame_rate=rate)


def variable_rate(folder: Path) -> Path:
    """Distances as phones write them, and a gap of half a second."""
    time_base = Fraction(1, 90_000)
    pts = vfr_pts(NUM_FRAMES, Fraction(25), time_base)
    pts[NUM_FRAMES // 2 :] += 45_000
    return plain(folder, pts=pts, time_base=time_base)


def many_streams(folder: Path) -> Path:
    """A film with two sound tracks, two kinds of subtitles, chapters, a font and a title."""
    _texts(folder)
    (folder / "font.ttf").write_bytes(b"\x00\x01\x00\x00" + bytes(64))
    path = folder / "film.mkv"
    ffmpeg(
        *("-i", plain(folder), "-f", "lavfi", "-t", "1.6", "-i", "sine=440"),
        *("-i", folder / "lines.srt", "-i", folder / "chapters.txt"),
        *("-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2:s", "-map", "2:s", "-map_chapters", "3"),
        *("-c", "copy", "-c:a:1", "aac", "-c:s:0", "srt", "-c:s:1", "ass"),
        *("-attach", folder / "font.ttf", "-metadata:s:t", "mimetype=application/x-truetype-font"),
        *("-metadata", "title=A film", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"),
        *("-metadata:s:s:0", "language=fra", path),
    )
    return path


def phone_streams(folder: Path) -> Path:
    """An MP4 with subtitles, chapters and a time code."""
    _texts(folder)
    path = folder / "phone.mov"
    ffmpeg(
        *("-i", plain(folder), "-i", folder / "lines.srt", "-i", folder / "chapters.txt"),
        *("-map", "0", "-map", "1:s", "-map_chapters", "2", "-c", "copy", "-c:s", "mov_text"),
        *("-timecode", "01:02:03:04", "-metadata:s:s:0", "language=spa", path),
    )
    return path


def _texts(folder: Path) -> None:
    (folder / "lines.srt").write_text(
        "1\n00:00:00,200 --> 00:00:00,700\nFirst\n\n2\n00:00:00,900 --> 00:00:01,400\nSecond\n"
    )
    (folder / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=1600\ntitle=Two\n"
    )


def late_start(folder: Path) -> Path:
    """A recording of a broadcast: its clock does not begin at 0."""
    ffmpeg("-i", plain(folder), "-c", "copy", "-output_ts_offset", "37.5", folder / "late.ts")
    return folder / "late.ts"


def edit_list(folder: Path) -> Path:
    """Cut without encoding: the file holds pictures before its first shown one."""
    source = recoded("gop.mp4", "-c:v", "libx264", "-g", "20", "-bf", "2", "-c:a", "copy", num_frames=60)
    ffmpeg("-ss", "0.5", "-i", source(folder), "-c", "copy", folder / "edited.mp4")
    return folder / "edited.mp4"


def cut_every_second(folder: Path) -> Path:
    """Four shots of 25 frames."""
    for number in range(4):
        make_clip(
            folder / f"{number}.mp4", num_frames=25, size=SIZE, seed=number, cut_at=25 * (number % 2 == 0)
        )
    inputs = [part for number in range(4) for part in ("-i", folder / f"{number}.mp4")]
    ffmpeg(*inputs, "-filter_complex", "concat=n=4:v=1:a=1", "-crf", "16", folder / "cuts.mp4")
    return folder / "cuts.mp4"


def two_faces(folder: Path) -> Path:
    """Two people side by side."""
    left = plain(folder)
    right = make_clip(folder / "right.mp4", num_frames=NUM_FRAMES, size=SIZE, seed=5, cut_at=0).path
    ffmpeg("-i", left, "-i", right, "-filter_complex", "hstack", "-crf", "16", folder / "two.mp4")
    return folder / "two.mp4"


def surround(folder: Path) -> Path:
    """Speech in the centre of six channels, the others quiet."""
    voice = talking_sound(NUM_FRAMES / 25, seed=3)
    noise = np.random.default_rng(0).standard_normal((len(voice), 6)).astype(np.float32) * 1e-3
    noise[:, 2] += voice
    soundfile.write(folder / "surround.wav", noise, SPEECH_RATE_HZ, subtype="PCM_24", format="WAVEX")
    return folder / "surround.wav"


def fast_sound(folder: Path) -> Path:
    """Floating point at 192 kHz, stereo."""
    voice = talking_sound(NUM_FRAMES / 25, seed=3, rate_hz=192_000)
    soundfile.write(folder / "fast.wav", np.stack([voice, voice], 1), 192_000, subtype="FLOAT")
    return folder / "fast.wav"


_HDR = ("-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
_X265 = "log-level=error:crf=12"


def _hdr(name: str, transfer: str, parameters: str = "") -> Callable[[Path], Path]:
    return recoded(
        name,
        *("-c:v", "libx265", "-x265-params", f"{_X265}{parameters}", *_HDR, "-color_trc", transfer),
        *("-tag:v", "hvc1", "-c:a", "copy"),
    )


_INTERLACED = ("-vf", "fps=50,tinterlace=interleave_top", "-c:v", "libx264", "-flags", "+ilme+ildct")

TRAPS: Sequence[Trap] = (
    Trap("plain", plain),
    Trap("variable frame rate with a gap", variable_rate),
    *(
        Trap(f"{float(rate):.3f} fps", at_rate(rate))
        for rate in (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50), Fraction(60000, 1001))
    ),
    *(
        Trap(f"turned by {turn} degrees", lambda folder, turn=turn: plain(folder, rotation_deg=turn))
        for turn in (90, 180, 270)
    ),
    Trap("10 bit PQ", _hdr("pq.mp4", "smpte2084", f":hdr10=1:master-display={MASTERING}:max-cll=1000,400")),
    Trap("10 bit HLG", _hdr("hlg.mkv", "arib-std-b67")),
    Trap("10 bit SDR in H.264", recoded("deep.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p10le")),
    Trap(
        "ProRes 4:2:2",
        recoded("prores.mov", "-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le"),
        settings={"remux.vcodec": "prores_ks"},
    ),
    Trap(
        "alpha in ProRes 4444",
        recoded("alpha.mov", "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le", "-c:a", "copy"),
        settings={"remux.vcodec": "prores_ks"},
        pixel_format="yuva444p12le",  # what FFmpeg reads of ProRes 4444
    ),
    Trap(
        "gray", recoded("gray.mkv", "-c:v", "ffv1", "-pix_fmt", "gray", "-c:a", "copy"), pixel_format="gray"
    ),
    Trap(
        "full range", recoded("full.mp4", "-vf", "scale=out_range=full", "-pix_fmt", "yuvj420p", "-crf", "12")
    ),
    Trap(
        "odd size",
        recoded("odd.mkv", "-vf", "crop=239:237:0:0", "-c:v", "ffv1", "-c:a", "copy"),
        settings={"remux.vcodec": "ffv1"},
    ),
    Trap("pixels that are not square", recoded("sar.mp4", "-vf", "scale=180:240,setsar=4/3", "-crf", "12")),
    Trap("B-frames", recoded("b.mp4", "-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-crf", "12")),
    Trap("clock begins at 37.5 s", late_start, suffix=".mp4"),
    Trap("edit list", edit_list),
    Trap("interlaced", recoded("fields.mp4", *_INTERLACED), exit_code=3),
    Trap(
        "interlaced, to be deinterlaced",
        recoded("fields.mp4", *_INTERLACED),
        settings={"demux.deinterlace": True},
        outside_db=32.0,  # every other row is made up
    ),
    Trap("5.1 speech", plain, speech=surround, keeps={"audio": 1}),
    Trap("192 kHz floating point speech", plain, speech=fast_sound, keeps={"audio": 1}),
    Trap(
        "two sound tracks, subtitles, chapters, a font",
        many_streams,
        keeps={"audio": 2, "subtitle": 2, "attachment": 1, "chapters": 2},
    ),
    Trap(
        "subtitles, chapters, time code in MOV",
        phone_streams,
        keeps={"audio": 1, "subtitle": 1, "data": 2, "chapters": 2},  # time code, and MOV's track of chapters
    ),
    # The two looks are as unlike as two people; the one who is chosen is known again in every other shot.
    Trap("a cut every second", cut_every_second, dubbed=(0.45, 0.55)),
    Trap(
        "a gap without a face",
        lambda folder: plain(folder, faceless=range(15, 28)),
        dubbed=(0.6, 27 / 40),
    ),
    Trap("two faces", two_faces, settings={"track.speaker": "380,120@0.5"}),
    Trap("nobody", lambda folder: make_wall_clip(folder / "wall.mp4").path, exit_code=6),
    Trap("an animated GIF", recoded("anim.gif", "-an"), exit_code=3, suffix=".mp4"),
    Trap("cut off", lambda folder: _cut_off(plain(folder)), exit_code=3),
)


def _cut_off(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path
