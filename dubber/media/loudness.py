"""How loud a recording is, where it is silent, and whether it is damaged by clipping; in one pass."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from dubber.media.audio import SPEECH_RATE_HZ, heard
from dubber.types import Float32

CLIPPED_LEVEL = 0.985
"""Samples so near the largest one, and that near full scale, are cut tops where several follow each other."""

_CLIPPED_RUN = 3
"""Neighbouring samples at the top that make a cut one; sines of speech frequencies stay there for fewer."""


@dataclass(frozen=True)
class Recording:
    """The beginning of a recording, as the model would hear it.

    Attributes:
        samples_S: (S,) float32 mono, 16 kHz.
        peak: Largest sample, 1 = full scale.
        clipped_share: Share of samples that belong to cut tops.
        is_whole: Whether the recording ends here.
    """

    samples_S: Float32
    peak: float
    clipped_share: float
    is_whole: bool


def listen(path: Path, max_s: float) -> Recording:
    """Decode the beginning of a recording.

    Args:
        path: Audio file or video with sound.
        max_s: What comes later is left out.

    Returns:
        What was heard.

    Raises:
        MediaError: Missing, without audio, not decodable, empty, or silent throughout.
    """
    pieces: list[Float32] = []
    num_samples, num_clipped, peak, is_whole = 0, 0, 0.0, True
    resampler: soxr.ResampleStream | None = None
    with closing(heard(path)) as chunks:
        for chunk, rate_hz in chunks:
            num_samples += len(chunk)
            peak = max(peak, float(np.abs(chunk).max()))
            num_clipped += _num_clipped(chunk)
            resampler = resampler or soxr.ResampleStream(rate_hz, SPEECH_RATE_HZ, 1, dtype="float32")
            pieces.append(resampler.resample_chunk(chunk))
            if num_samples > max_s * rate_hz:
                is_whole = False
                break
    if resampler is not None:
        pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return Recording(
        samples_S=np.clip(np.concatenate(pieces), -1, 1),
        peak=peak,
        clipped_share=num_clipped / max(num_samples, 1),
        is_whole=is_whole,
    )


def _num_clipped(chunk_S: Float32) -> int:
    """Samples in runs of equal, largest ones near full scale."""
    top = float(np.abs(chunk_S).max(initial=0.0))
    if top < CLIPPED_LEVEL:
        return 0
    is_top_S = np.abs(chunk_S) >= CLIPPED_LEVEL * top
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_top_S, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= _CLIPPED_RUN].sum())
