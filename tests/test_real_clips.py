"""Real footage, end to end: each clip dubbed with another's speech. Slow; `make test-all` runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig, dub, make_runtime
from dubber.engine.execute import Run
from dubber.evaluation.metrics import psnr_db
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.pipeline import plan_dub
from tests.conftest import REAL_CLIPS, real_clip
from tests.traps.measure import mouth_box

CLIPS = sorted(str(path.relative_to(REAL_CLIPS)) for path in (REAL_CLIPS / "dev").rglob("*.mp4"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIPS, reason="real clips are not here (set DUBBER_TEST_CLIPS)"),
]


@pytest.mark.parametrize("renderer", ["exemplar", "copy"])
@pytest.mark.parametrize("name", CLIPS)
def test_dub_with_the_speech_of_the_next_clip(tmp_path: Path, name: str, renderer: str) -> None:
    clip = real_clip(name)
    speech = real_clip(CLIPS[(CLIPS.index(name) + 1) % len(CLIPS)])
    config = DubConfig().with_overrides({"length.mode": "cut_off", "render.renderer": renderer})
    runtime = make_runtime(cache_dir=tmp_path / "cache", device="cpu")
    output = tmp_path / "dubbed.mp4"
    result = dub(clip, speech, output, config=config, runtime=runtime)

    source, made = probe(clip), probe(output)
    assert (made.size, made.has_audio, made.num_frames) == (source.size, True, result.num_frames)
    np.testing.assert_allclose(made.times_s_T, source.times_s_T[: made.num_frames], atol=1e-4)

    plan = plan_dub(config, clip, speech, runtime=runtime)
    mouths = Run(plan.plan, runtime).get(plan.rendered)
    outside, whole, samples = [], [], []
    pairs = zip(read_frames(clip, source, 0, made.num_frames), read_frames(output, made), strict=True)
    for n, (before, after) in enumerate(pairs):
        is_outside = np.ones(before.size, np.bool_)
        if mouths.has_patch_N[n]:
            is_outside[mouth_box(mouths, n)] = False
        before_rgb, after_rgb = before.rgb(), after.rgb()
        outside.append(psnr_db(after_rgb[is_outside], before_rgb[is_outside]))
        whole.append(psnr_db(after_rgb, before_rgb))
        planes = [np.concatenate([plane.ravel() for plane in frame.planes]) for frame in (after, before)]
        samples.append(psnr_db(*planes))
    assert np.mean(outside) >= 42
    if renderer == "copy":
        assert np.mean(samples) >= 45  # as coded, YUV; grainy clips lose up to 5 dB more on the way to RGB
        assert np.mean(whole) >= 42
