"""The retime stage leaves known maps alone, and keeps the head still under silence."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dubber.errors import NoFaceError
from dubber.ops.landmarks import NOSE_TIP
from dubber.ops.timeline import make_timeline
from dubber.stages.retime import Retime, RetimeParams
from dubber.types import ExpressionTrack
from tests.stages.test_timeline import CLIP
from tests.stages.test_translate import target


def moving_target():
    """The nose rests on frames 0..24 and moves on the others."""
    coeffs, track = target()
    track.landmarks_TL3[:, NOSE_TIP, 0] = 5.0 * np.maximum(np.arange(50) - 24, 0)
    for lid, y in ((159, -5), (145, 5), (386, -5), (374, 5)):
        track.landmarks_TL3[:, lid, 1] = y
    track.landmarks_TL3[:, 133, 0], track.landmarks_TL3[:, 362, 0] = 30, 70
    return coeffs, track


def expression(is_silent):
    is_silent_N = np.asarray(is_silent, bool)
    return ExpressionTrack(np.zeros((len(is_silent), 4), np.float32), is_silent_N, np.ones_like(is_silent_N))


def test_other_modes_keep_the_timeline_s_map(context):
    timeline = make_timeline("bounce", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(5))
    found = Retime(RetimeParams()).run(context, timeline, expression(np.zeros(125)), *moving_target())
    assert np.array_equal(found.source_index_N, timeline.source_index_N)
    assert not found.is_halfway_N.any()


def test_silence_rests(context):
    timeline = make_timeline("retime", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(4, 5))
    found = Retime(RetimeParams()).run(context, timeline, expression(np.ones(20)), *moving_target())
    assert len(found.source_index_N) == 20
    assert found.source_index_N.max() <= 24


def test_longer_speech_never_jumps(context):
    timeline = make_timeline("retime", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(8))
    is_silent = np.arange(200) % 60 < 20
    found = Retime(RetimeParams()).run(context, timeline, expression(is_silent), *moving_target())
    position = found.source_index_N + 0.5 * found.is_halfway_N
    assert len(position) == 200
    assert np.abs(np.diff(position)).max() <= 1
    assert 0 <= position.min() <= position.max() <= 49


def test_no_face(context):
    timeline = make_timeline("retime", CLIP.pts_T, CLIP.end_pts, CLIP.time_base, Fraction(8))
    coeffs, track = moving_target()
    with pytest.raises(NoFaceError):
        Retime(RetimeParams()).run(
            context,
            timeline,
            expression(np.zeros(200)),
            coeffs,
            replace(track, is_usable_T=np.zeros(50, bool)),
        )
