"""Peak memory of a whole run on a short and on a long clip, as a ratio.

    python benchmarks/memory.py CLIP [--seconds 30 300]

The clip is looped (stream copy) to each length and dubbed with its own looped sound, nothing cached.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dubber.media.mux import find_ffmpeg


def looped(clip: Path, seconds: float, folder: Path) -> tuple[Path, Path]:
    """The clip and its sound, repeated until they last `seconds`."""
    video, audio = folder / f"{seconds:g}.mp4", folder / f"{seconds:g}.wav"
    common = [find_ffmpeg(), "-v", "error", "-y", "-stream_loop", "-1", "-i", str(clip), "-t", str(seconds)]
    subprocess.run([*common, "-c", "copy", str(video)], check=True)
    subprocess.run([*common, "-vn", str(audio)], check=True)
    return video, audio


def peak_rss_mb(arguments: list[str]) -> tuple[float, float]:
    """Run a command; its peak resident memory (MB, its own process) and wall-clock seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the run failed with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e6, time.perf_counter() - started


def main() -> None:
    """Print a row per length, and the ratio of the last to the first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[30, 300])
    options = parser.parse_args()
    peaks = []
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory(prefix="dubber-bench-") as name:
            folder = Path(name)
            video, audio = looped(options.clip, seconds, folder)
            command = [sys.executable, "-m", "dubber", "run", str(video), str(audio), "-q"]
            peak, wall_s = peak_rss_mb(
                [*command, "-o", str(folder / "out.mp4"), "--cache", str(folder / "cache")]
            )
            cache_mb = (
                sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file()) / 1e6
            )
        peaks.append(peak)
        pace = f"{wall_s / seconds:.2f} s per second"
        print(f"{seconds:6g} s   peak {peak:.0f} MB   {pace}   cache {cache_mb:.0f} MB")
    print(f"ratio of the last peak to the first: {peaks[-1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
