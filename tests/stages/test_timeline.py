"""The timeline stage passes the clip and the speech on, and refuses empty ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.errors import MediaError
from dubber.stages.timeline import LengthParams, SetLength
from dubber.types import Clip, ColorTags, Speech, StoredFile

CLIP = Clip(
    pts_T=np.arange(50, dtype=np.int64) * 512,
    time_base=Fraction(1, 12800),
    end_pts=50 * 512,
    size=(64, 64),
    rotation_deg=0,
    pixel_aspect=Fraction(1),
    pixel_format="yuv420p",
    color=ColorTags(2, 2, 2, 2),
    codec="h264",
    bit_rate=0,
    has_audio=True,
)


def speech(seconds):
    return Speech(StoredFile(Path("speech.wav")), 16000, round(seconds * 16000))


def test_auto_and_wish(context):
    assert SetLength(LengthParams()).run(context, CLIP, speech(2.3)).mode == "silence"
    assert SetLength(LengthParams()).run(context, CLIP, speech(4)).num_frames == 100
    assert SetLength(LengthParams(mode="loop")).run(context, CLIP, speech(4)).source_index_N[50] == 0


def test_empty_inputs_are_refused(context):
    with pytest.raises(MediaError, match="speech is empty"):
        SetLength(LengthParams()).run(context, CLIP, speech(0))
    with pytest.raises(MediaError, match="no frames"):
        SetLength(LengthParams()).run(context, replace(CLIP, pts_T=CLIP.pts_T[:0]), speech(1))
