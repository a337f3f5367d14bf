"""Quality of finished dubs: curves whose delay is known, and what is said of numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.evaluation.quality import Quality, measure_quality, sync_measures
from dubber.evaluation.quality_moments import spread
from dubber.evaluation.quality_sync import Openings, av_offset, offset_over_time
from dubber.evaluation.quality_verdicts import NATURAL_LEAD_MS, SCALES, Figure, judged
from dubber.pipeline import plan_dub
from dubber.types import Float32
from tests.conftest import REPOSITORY

STEPS = 1200


def talk(seed: int) -> Float32:
    """(F,) a mouth that opens and shuts three times a second or so, every 10 ms."""
    noise = np.random.default_rng(seed).normal(size=STEPS + 200)
    smooth = np.convolve(noise, np.hanning(25), mode="same")[100:-100]
    return np.asarray(smooth / smooth.std(), np.float32)


def person(
    seen_F: Float32, heard_F: Float32 | None, wanted_F: Float32, *, seen_share: float = 1.0
) -> Openings:
    return Openings(
        times_s_F=np.arange(STEPS) / 100,
        seen_F=seen_F,
        is_seen_F=np.arange(STEPS) < seen_share * STEPS,
        heard_F=heard_F,
        wanted_F=wanted_F,
        is_spoken_F=np.ones(STEPS, np.bool_),
    )


@pytest.mark.parametrize("late_steps", [-20, 0, 7, 20])
def test_a_mouth_that_comes_late_is_seen_to(late_steps: int) -> None:
    voice = talk(0)
    offset = av_offset([person(3 * np.roll(voice, late_steps) + 9, voice, np.roll(voice, late_steps))])
    assert offset is not None and offset.voice is not None and offset.wanted is not None
    assert offset.voice[0] > 0.95
    assert offset.voice[1] == pytest.approx(late_steps / 100, abs=0.006)
    np.testing.assert_allclose(offset.wanted, (1, 0), atol=0.01)
    late_ms = sync_measures(offset)["voice_late_ms"]
    assert late_ms == pytest.approx(10 * late_steps + NATURAL_LEAD_MS, abs=6)


def test_the_offset_of_a_mouth_that_drifts_is_told_over_time() -> None:
    voice = talk(1)
    late_F = np.where(np.arange(STEPS) < STEPS // 2, 0, 30)
    seen = voice[np.clip(np.arange(STEPS) - late_F, 0, None)]
    times_s, late_s, correlation = offset_over_time(person(seen, voice, voice))
    is_whole = (times_s < 4) | (times_s > 8)
    assert is_whole.sum() >= 4 and correlation[is_whole].min() > 0.9
    np.testing.assert_allclose(late_s[is_whole], np.where(times_s[is_whole] < 6, 0, 0.3), atol=0.01)


def test_another_voice_is_not_followed_and_has_no_offset() -> None:
    offset = av_offset([person(talk(2), talk(3), talk(2))])
    measures = sync_measures(offset)
    assert measures["voice_correlation"] is not None and measures["voice_correlation"] < 0.3
    figures = named(judged(measures))
    assert (figures["sync"].verdict, figures["offset"].verdict, figures["intent"].verdict) == (
        "poor",
        "unknown",
        "good",
    )


def test_people_count_by_how_long_they_are_seen() -> None:
    good, bad = person(talk(4), talk(4), talk(4)), person(talk(5), talk(6), talk(5), seen_share=0.25)
    alone, both = av_offset([good]), av_offset([good, bad])
    assert alone is not None and both is not None and alone.voice is not None and both.voice is not None
    assert 0.6 < both.voice[0] < alone.voice[0]


def test_little_speech_and_no_ears_are_unknown() -> None:
    assert av_offset([person(talk(7), talk(7), talk(7), seen_share=0.1)]) is None
    assert {figure.verdict for figure in judged({})} == {"unknown"}
    deaf = av_offset([person(talk(7), None, talk(7))])
    assert deaf is not None and deaf.voice is None and deaf.wanted is not None
    assert sync_measures(deaf)["voice_correlation"] is None


def test_verdicts_are_ordered_and_said() -> None:
    for name, scale in SCALES.items():
        assert scale.fair.low <= scale.good.low and scale.good.high <= scale.fair.high, name
        beyond = (
            scale.fair.low - 1 if math.isinf(scale.fair.high) or scale.fair.high == 1 else scale.fair.high + 1
        )
        assert scale.judge(beyond).verdict == "poor"
        for figure in (scale.judge(scale.good.low), scale.judge(beyond), scale.judge(None)):
            assert figure.words.endswith(".") and "{" not in figure.words


@pytest.mark.parametrize(
    ("measure", "value", "words"),
    [
        ("voice_late_ms", 0.4, "Mouth and voice come together (within 1 ms)."),
        ("voice_late_ms", -0.4, "Mouth and voice come together (within 1 ms)."),
        ("voice_late_ms", -20.2, "Mouth and voice come together (20 ms early)."),
        ("voice_late_ms", 70, "The mouth comes 70 ms late; who looks for it sees it."),
        (
            "sharpness_ratio",
            0.71,
            "The mouth is about as sharp as the footage (0.71 times its detail; 1 is the same).",
        ),
    ],
)
def test_words_say_no_more_than_the_number(measure: str, value: float, words: str) -> None:
    assert SCALES[measure].judge(value).words == words


def test_many_frames_are_looked_at_in_runs() -> None:
    is_in_N = np.ones(1000, np.bool_)
    is_in_N[300:500] = False
    chosen_N = spread(is_in_N, 4, 20)
    assert chosen_N.sum() == 80 and not chosen_N[300:500].any()
    assert chosen_N[:20].all() and chosen_N[-20:].all()
    np.testing.assert_array_equal(spread(is_in_N, 100, 20), is_in_N)
    assert not spread(np.zeros(9, np.bool_), 4, 20).any()


def named(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def example(runtime: Runtime, settings: dict[str, object]) -> Quality:
    folder = Path(REPOSITORY) / "examples"
    config = DubConfig().with_overrides(settings)
    plan = plan_dub(config, folder / "speaker.mp4", folder / "line.wav", runtime=runtime)
    Run(plan.plan, runtime).get(plan.dubbed)
    return measure_quality(plan, runtime, SilentProgress())


@pytest.mark.slow
def test_good_and_bad_dubs_of_the_example_are_told_apart(runtime: Runtime) -> None:
    good = named(example(runtime, {}).figures)
    assert {figure.verdict for figure in good.values()} == {"good"}
    late = named(example(runtime, {"translate.av_offset_ms": 200}).figures)
    assert (late["offset"].verdict, late["sync"].verdict) == ("poor", "good")
    assert late["offset"].value == pytest.approx(200, abs=40)
    untouched = named(example(runtime, {"render.renderer": "copy"}).figures)
    assert (untouched["sync"].verdict, untouched["intent"].verdict) == ("poor", "poor")
    coarse = named(example(runtime, {"remux.crf": 45}).figures)
    assert coarse["untouched"].verdict == "poor" and coarse["sharpness"].verdict != "good"
