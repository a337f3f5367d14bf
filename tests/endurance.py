"""A long run: `python -m tests.endurance --minutes 60` dubs a looped clip and looks whether it stays in sync.

The footage repeats every 20 s, the speech every 23 s, so that nothing is in step but by being right. Of the
first and of the last minute it measures how far the sound has moved (against the file that went in) and how
far the mouth lags behind it; and how the process's memory grew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from scipy.signal import correlate

from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.tracking.backends import make_tracker
from dubber.types import Float32, Float64
from tests.synth import SPEECH_RATE_HZ, make_clip, talking_gap, talking_sound
from tests.traps.make import ffmpeg

CLIP_S, SPEECH_S, WINDOW_S = 20, 23, 60
RATE = Fraction(15000, 1001)
MAX_LAG_S = 0.5
GRID_HZ = 1000
UPPER_LIP, LOWER_LIP = 13, 14


@dataclass(frozen=True)
class Sync:
    """Where sound and mouth are in a part of the output.

    Attributes:
        sound_ms: How much later the sound is than the file that went in.
        mouth_ms: How much later the mouth moves than that sound's truth.
        agreement: Correlation of the mouth's opening with the truth, at that lag.
    """

    sound_ms: float
    mouth_ms: float
    agreement: float


def make_inputs(folder: Path, seconds: int) -> tuple[Path, Path]:
    """The looped clip and the looped speech."""
    make_clip(folder / "once.mp4", num_frames=round(CLIP_S * RATE), frame_rate=RATE, seed=1)
    video, speech = folder / "long.mp4", folder / "long.wav"
    ffmpeg("-stream_loop", "-1", "-i", folder / "once.mp4", "-t", str(seconds), "-c", "copy", video)
    once = talking_sound(SPEECH_S, seed=7)
    with soundfile.SoundFile(speech, "w", SPEECH_RATE_HZ, 1, subtype="PCM_16") as file:
        for start in range(0, seconds, SPEECH_S):
            file.write(once[: (min(start + SPEECH_S, seconds) - start) * SPEECH_RATE_HZ])
    return video, speech


def watched(command: list[str]) -> tuple[float, list[tuple[float, float]]]:
    """Run a command; seconds it took, and its resident memory over time, (s, MB) twice a second."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    samples: list[tuple[float, float]] = []

    def look() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            fields = [line.split() for line in status.splitlines() if line.startswith("RssAnon")]
            if fields:
                samples.append((time.perf_counter() - started, int(fields[0][1]) / 1000))
            time.sleep(0.5)

    watcher = threading.Thread(target=look)
    watcher.start()
    code = process.wait()
    watcher.join()
    if code:
        raise SystemExit(code)
    return time.perf_counter() - started, samples


def sync_of(output: Path, start_s: float) -> Sync:
    """Measure the minute that begins at a time."""
    once = talking_sound(SPEECH_S, seed=7)
    wanted = once[
        np.arange(round(start_s * SPEECH_RATE_HZ), round((start_s + WINDOW_S) * SPEECH_RATE_HZ)) % len(once)
    ]
    heard = _heard(output, start_s)
    sound_s, _ = _lag(heard, wanted, SPEECH_RATE_HZ)
    times_s, opening = _openings(output, start_s)
    grid_s = np.arange(start_s + 1, start_s + WINDOW_S - 1, 1 / GRID_HZ)
    truth = talking_gap(grid_s % SPEECH_S, seed=7)
    seen = np.interp(grid_s, times_s, opening)
    mouth_s, agreement = _lag(seen, truth, GRID_HZ)
    return Sync(1000 * sound_s, 1000 * mouth_s, agreement)


def _lag(late: Float64 | Float32, early: Float64 | Float32, rate_hz: int) -> tuple[float, float]:
    """Seconds by which one signal is later than another, between samples; and their correlation there."""
    first, second = (np.asarray(signal, np.float64) - np.mean(signal) for signal in (late, early))
    size = min(len(first), len(second))
    product = correlate(first[:size], second[:size], method="fft")
    centre, reach = size - 1, round(MAX_LAG_S * rate_hz)
    near = product[centre - reach : centre + reach + 1]
    best = int(near.argmax())
    shift = 0.0
    if 0 < best < len(near) - 1:
        left, middle, right = near[best - 1 : best + 2]
        shift = 0.5 * (left - right) / (left - 2 * middle + right)
    scale = np.linalg.norm(first[:size]) * np.linalg.norm(second[:size])
    return (best - reach + shift) / rate_hz, float(near[best] / scale)


def _heard(path: Path, start_s: float) -> Float32:
    """A minute of a file's sound at 16 kHz, from its own timestamps."""
    samples = np.zeros(WINDOW_S * SPEECH_RATE_HZ, np.float32)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        container.seek(int(max(start_s - 1, 0) / stream.time_base), stream=stream)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SPEECH_RATE_HZ)
        for frame in container.decode(stream):
            at = float(frame.pts * frame.time_base) - start_s
            if at > WINDOW_S:
                break
            for plain in resampler.resample(frame):
                block = plain.to_ndarray()[0]
                first = round((float(plain.pts * plain.time_base) - start_s) * SPEECH_RATE_HZ)
                low, high = max(first, 0), min(first + len(block), len(samples))
                if low < high:
                    samples[low:high] = block[low - first : high - first]
    return samples


def _openings(path: Path, start_s: float) -> tuple[Float64, Float64]:
    """Times and mouth openings, in widths of the eyes, of a minute of pictures."""
    clip = probe(path)
    first, last = np.searchsorted(clip.times_s_T, [start_s, start_s + WINDOW_S])
    times, openings = [], []
    with (
        make_tracker("mediapipe", look_side_px=640) as tracker,
        closing(read_frames(path, clip, int(first), int(last))) as frames,
    ):
        for frame in frames:
            time_s = float(clip.times_s_T[frame.index])
            for face in tracker.track(frame, time_s)[:1]:
                points = face.landmarks_L3[:, :2]
                breadth = np.linalg.norm(points[33] - points[263])
                times.append(time_s)
                openings.append(float(np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP]) / breadth))
    # A picture is seen from its time on until the next one's: on average half a frame later.
    return np.array(times) + 0.5 / float(clip.frame_rate), np.array(openings)


def main() -> None:
    """Make the inputs, run, measure, print; exit 1 where sync or memory is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--renderer", default="exemplar")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video, speech = make_inputs(folder, seconds)
        output = folder / "dubbed.mp4"
        command = [sys.executable, "-m", "dubber", "run", str(video), str(speech), "-o", str(output)]
        command += [
            "--renderer",
            options.renderer,
            "--length",
            "silence",
            "--cache",
            str(folder / "cache"),
            "-q",
        ]
        took_s, memory = watched(command)
        begin, end = sync_of(output, 0.0), sync_of(output, seconds - WINDOW_S - 5.0)
        source, made = probe(video), probe(output)
        error_s = float(np.abs(source.times_s_T - made.times_s_T).max())
    quarter = [
        np.max([mb for at, mb in memory if lo <= at / took_s < lo + 0.25]) for lo in (0, 0.25, 0.5, 0.75)
    ]
    print(f"{options.minutes} minutes, {made.num_frames} frames, {took_s / seconds:.2f} s per second")
    print(f"first minute: {begin}\nlast minute:  {end}")
    print(f"largest difference of a frame's time: {error_s * 1000:.3f} ms")
    print(
        "peak of anonymous memory in each quarter of the run, MB:", ", ".join(f"{mb:.0f}" for mb in quarter)
    )
    frame_ms = 1000 / float(RATE)
    drift = abs(end.mouth_ms - begin.mouth_ms), abs(end.sound_ms - begin.sound_ms)
    is_good = made.num_frames == source.num_frames and error_s < 1e-3 and drift[0] < frame_ms and drift[1] < 1
    print(f"drift: mouth {drift[0]:.1f} ms, sound {drift[1]:.3f} ms -", "in sync" if is_good else "LOST")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
