"""Pairs of videos whose difference is known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError
from dubber.evaluation.made_pair import evaluate_pair, partners
from dubber.media.probe import probe
from examples.clipfile import VideoFormat, write_clip
from tests.synth import SyntheticClip, frames, make_clip, make_wall_clip


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> SyntheticClip:
    return make_clip(tmp_path_factory.mktemp("pair") / "filmed.mp4", num_frames=30, has_head_motion=False)


def compare(made: Path, filmed: Path, runtime: Runtime) -> dict[str, float]:
    document = evaluate_pair(made, filmed, config=DubConfig(), runtime=runtime, progress=SilentProgress())
    return {**document["metrics"], "frames": document["frames"], "lost": document["frames_without_partner"]}


@pytest.mark.slow
def test_a_video_beside_itself_is_perfect(filmed: SyntheticClip, runtime: Runtime) -> None:
    found = compare(filmed.path, filmed.path, runtime)
    assert (found["frames"], found["lost"]) == (30, 0)
    for name in ("frame_psnr_db", "crop_psnr_db", "mouth_psnr_db"):
        assert found[name] == 100
    for name in ("mouth_ssim", "sharpness_ratio", "seam_index", "flicker_index"):
        assert found[name] == pytest.approx(1)
    assert found["rendered_landmark_error_px"] == pytest.approx(0, abs=1e-4)
    assert (found["rendered_opening_correlation"], found["rendered_av_lag_frames"]) == (pytest.approx(1), 0)


@pytest.mark.slow
def test_a_video_that_is_two_frames_late_and_scaled(
    filmed: SyntheticClip, runtime: Runtime, tmp_path: Path
) -> None:
    pictures = list(frames(filmed))
    late = [*pictures[:1], *pictures[:1], *pictures[:-2]]
    path = tmp_path / "late.mp4"
    write_clip(
        path,
        (np.repeat(np.repeat(picture, 2, 0), 2, 1) for picture in late),
        pts_T=list(range(len(late))),
        time_base=filmed.time_base,
        video=VideoFormat(),
        audio=None,
    )
    found = compare(path, filmed.path, runtime)
    assert found["rendered_av_lag_frames"] == 2
    assert found["rendered_opening_correlation"] > 0.95
    assert found["rendered_landmark_error_px"] > 1
    assert found["rendered_motion_in_silence"] is None  # it says nothing


def test_partners_are_found_by_time(filmed: SyntheticClip) -> None:
    clip = probe(filmed.path)
    fast = replace(clip, pts_T=np.arange(60, dtype=np.int64), time_base=Fraction(1, 50), end_pts=60)
    np.testing.assert_array_equal(partners(fast, clip), np.arange(30) * 2)
    short = replace(clip, pts_T=clip.pts_T[:20], end_pts=int(clip.pts_T[20]))
    np.testing.assert_array_equal(partners(short, clip), [*range(20), *[-1] * 10])


def test_another_shape_is_refused(filmed: SyntheticClip, runtime: Runtime, tmp_path: Path) -> None:
    wide = make_wall_clip(tmp_path / "wide.mp4", size=(240, 320))
    with pytest.raises(ConfigError, match="320 x 240"):
        compare(wide.path, filmed.path, runtime)
