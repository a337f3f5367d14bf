"""A fixed piece of work like dubber's: its time tells how fast this machine is just now.

    python -m benchmarks.reference

Two threads, as dubber's aim is two cores, each encode the example with x264 and multiply matrices. Figures
of dubber divided by these can be compared between machines, and with busy neighbours. Nothing here may
change without measuring the baseline again.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.clips import EXAMPLE_VIDEO
from dubber.media.mux import find_ffmpeg

NUM_THREADS = 2
ENCODED_S = 5
MATRIX_SIZE = 512
NUM_PRODUCTS = 150


def work() -> None:
    """One thread's share."""
    command = [find_ffmpeg(), "-v", "error", "-threads", "1", "-t", f"{ENCODED_S}", "-i", str(EXAMPLE_VIDEO)]
    encode = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", "16", "-threads", "1", "-f", "null", "-"]
    subprocess.run([*command, *encode], check=True, stdin=subprocess.DEVNULL)
    matrix = np.random.default_rng(0).normal(size=(MATRIX_SIZE, MATRIX_SIZE)).astype(np.float32)
    for _ in range(NUM_PRODUCTS):
        matrix @ matrix


def main() -> None:
    """Do all shares at once."""
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(NUM_THREADS) as threads:
        for share in [threads.submit(work) for _ in range(NUM_THREADS)]:
            share.result()


if __name__ == "__main__":
    main()
