"""Lines are heard when the script says, from the voices it says."""

from __future__ import annotations

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.audio import read_speech
from dubber.stages.place import PlacedLine, PlaceLines, PlaceParams, placed
from dubber.types import Speech, StoredFile
from tests.synth import write_wav

RATE_HZ = 16_000


def lines(*parts: tuple[int, float, float, float]) -> tuple[PlacedLine, ...]:
    return tuple(PlacedLine(voice=v, start_s=start, end_s=end, from_s=at) for v, start, end, at in parts)


def test_lines_lie_where_the_script_has_them(context: StageContext) -> None:
    ramp = np.linspace(0, 0.5, RATE_HZ, dtype=np.float32)
    speeches = []
    for number, samples in enumerate((ramp, -ramp)):
        wav = write_wav(context.scratch_dir() / f"{number}.wav", samples)
        speeches.append(Speech(StoredFile(wav), RATE_HZ, len(samples)))
    params = PlaceParams(lines=lines((1, 2.0, 2.25, 0.5), (0, 0.5, 1.5, 0.0)))
    made = PlaceLines(params).run(context, *speeches)
    samples = read_speech(made)
    assert made.num_samples == len(samples) == int(2.25 * RATE_HZ)
    np.testing.assert_allclose(samples[RATE_HZ // 2 : RATE_HZ * 3 // 2], ramp, atol=1e-4)
    np.testing.assert_allclose(samples[2 * RATE_HZ :], -ramp[RATE_HZ // 2 : RATE_HZ * 3 // 4], atol=1e-4)
    assert not samples[: RATE_HZ // 2].any()
    assert not samples[RATE_HZ * 3 // 2 : 2 * RATE_HZ].any()


def test_lines_across_chunks_and_over_each_other() -> None:
    rng = np.random.default_rng(0)
    voices = [rng.uniform(-0.3, 0.3, 40 * RATE_HZ).astype(np.float32) for _ in range(2)]
    script = lines((0, 0.0, 40.0, 0.0), (1, 10.0, 30.0, 5.0))
    found = np.concatenate(list(placed(voices, script, RATE_HZ)))
    wanted = voices[0].copy()
    wanted[10 * RATE_HZ : 30 * RATE_HZ] += voices[1][5 * RATE_HZ : 25 * RATE_HZ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_voice_that_ends_early_is_followed_by_silence() -> None:
    found = np.concatenate(list(placed([np.ones(100, np.float32)], lines((0, 0.0, 1.0, 0.0)), RATE_HZ)))
    assert len(found) == RATE_HZ
    assert found[:100].all()
    assert not found[100:].any()


@pytest.mark.parametrize("start_s", [-1.0, float("nan")])
def test_times_are_checked(start_s: float) -> None:
    with pytest.raises(ValueError, match="start_s"):
        PlacedLine(voice=0, start_s=start_s, end_s=1.0)
