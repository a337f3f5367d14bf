"""Lines are heard when the script says, from the voices it says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dubber.engine.stage import StageContext
from dubber.media.audio import read_speech
from dubber.stages.place import PlacedLine, PlaceLines, PlaceParams, end_of_lines_s, placed
from dubber.types import Clip, ColorTags, Float32, Speech, StoredFile
from tests.handles import few_handles
from tests.synth import write_wav

RATE_HZ = 16_000


def lines(*parts: tuple[int, float, float, float]) -> tuple[PlacedLine, ...]:
    return tuple(PlacedLine(voice=v, start_s=start, end_s=end, from_s=at) for v, start, end, at in parts)


def film(seconds: int) -> Clip:
    """A film of one frame a second."""
    return Clip(
        pts_T=np.arange(seconds, dtype=np.int64),
        time_base=Fraction(1),
        end_pts=seconds,
        size=(64, 64),
        rotation_deg=0,
        pixel_aspect=Fraction(1),
        pixel_format="yuv420p",
        color=ColorTags(1, 1, 1, 1),
        codec="h264",
        bit_rate=0,
        has_audio=False,
    )


def recorded(context: StageContext, *voices: Float32) -> list[Speech]:
    speeches = []
    for number, samples in enumerate(voices):
        wav = write_wav(context.scratch_dir() / f"{number}.wav", samples)
        speeches.append(Speech(StoredFile(wav), RATE_HZ, len(samples)))
    return speeches


def test_lines_lie_where_the_script_has_them(context: StageContext) -> None:
    ramp = np.linspace(0, 0.5, RATE_HZ, dtype=np.float32)
    params = PlaceParams(lines=lines((1, 2.0, 2.25, 0.5), (0, 0.5, 1.5, 0.0)))
    made = PlaceLines(params).run(context, film(5), *recorded(context, ramp, -ramp))
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
    found = np.concatenate(list(placed(voices, script, RATE_HZ, 40.0)))
    wanted = voices[0].copy()
    wanted[10 * RATE_HZ : 30 * RATE_HZ] += voices[1][5 * RATE_HZ : 25 * RATE_HZ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_voice_that_ends_early_is_followed_by_silence() -> None:
    chunks = placed([np.ones(100, np.float32)], lines((0, 0.0, 1.0, 0.0)), RATE_HZ, 1.0)
    found = np.concatenate(list(chunks))
    assert len(found) == RATE_HZ
    assert found[:100].all()
    assert not found[100:].any()


def test_lines_behind_the_film_fill_no_disk(context: StageContext) -> None:
    tone = np.full(2 * RATE_HZ, 0.25, np.float32)
    params = PlaceParams(lines=lines((0, 2.5, 4.5, 0.0), (0, 1e9, 1e9 + 2, 0.0)))
    made = PlaceLines(params).run(context, film(3), *recorded(context, tone))
    assert made.num_samples == 3 * RATE_HZ
    assert np.flatnonzero(read_speech(made))[[0, -1]].tolist() == [2.5 * RATE_HZ, 3 * RATE_HZ - 1]


@pytest.mark.parametrize(
    ("script", "film_s", "end_s"),
    [
        (lines((0, 1.0, 2.0, 0.0)), 3.0, 2.0),
        (lines((0, 1.0, 5.0, 0.0)), 3.0, 3.0),
        (lines((0, 4.0, 5.0, 4.0), (1, 9.0, 11.0, 0.0)), 3.0, 5.0),
    ],
    ids=["within", "beyond", "of a recording that is longer than the film"],
)
def test_where_lines_end(script: tuple[PlacedLine, ...], film_s: float, end_s: float) -> None:
    assert end_of_lines_s(script, film_s) == end_s


def test_few_of_many_voices_are_open_at_once(context: StageContext) -> None:
    num_voices = 120
    script = lines(*((voice, voice / 100, voice / 100 + 0.01, 0.0) for voice in range(num_voices)))
    speeches = recorded(
        context, *(np.full(160, 0.1 + voice / 500, np.float32) for voice in range(num_voices))
    )
    with few_handles():
        made = PlaceLines(PlaceParams(lines=script)).run(context, film(2), *speeches)
    heard = read_speech(made).reshape(num_voices, 160)
    np.testing.assert_allclose(heard - np.arange(num_voices)[:, None] / 500, 0.1, atol=1e-4)


@pytest.mark.parametrize("start_s", [-1.0, float("nan")])
def test_times_are_checked(start_s: float) -> None:
    with pytest.raises(ValueError, match="start_s"):
        PlacedLine(voice=0, start_s=start_s, end_s=1.0)
