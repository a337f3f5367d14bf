"""Whose mouth: what users may say, and whose lips go with a sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.ops.speaker import Speaker, parse_speaker
from dubber.ops.speaker_lips import SURE, lip_agreement
from dubber.types import Float32, Float64


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("largest", Speaker("largest")),
        (" auto ", Speaker("auto")),
        ("3", Speaker("number", number=3)),
        ("640,200@1.5", Speaker("place", place_px=(640, 200), time_s=1.5)),
        ("12.5, 7 @ 2s", Speaker("place", place_px=(12.5, 7), time_s=2)),
        ("some folder/ann.jpg", Speaker("reference", picture=Path("some folder/ann.jpg"))),
    ],
)
def test_a_speaker_is_named(text: str, speaker: Speaker) -> None:
    assert parse_speaker(text) == speaker


@pytest.mark.parametrize("text", ["", "0", "-1", "tallest", "3,4", "3,4@", "3@4"])
def test_nobody_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_speaker(text)
    assert "largest" in caught.value.advice


def talk(seed: int, seconds: float = 8.0) -> tuple[Float32, Float64]:
    """Openings at 25 frames a second, and the level of what they say."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(0.12, 0.35, 80))
    loud = (np.searchsorted(edges, np.arange(0, seconds, 0.01)) % 2).astype(np.float64)
    level = -50 + 30 * loud + rng.normal(0, 3, len(loud))
    opening = np.interp(np.arange(0, seconds, 0.04) + 0.04, np.arange(0, seconds, 0.01), loud)
    return (0.2 * opening + rng.normal(0, 0.01, len(opening))).astype(np.float32), level


def agreement(opening: Float32, level: Float64, frames: np.ndarray | None = None) -> float:
    every = np.arange(len(opening), dtype=np.int32)
    frames = every if frames is None else frames
    return lip_agreement(
        opening[frames], frames.astype(np.int32), np.zeros(len(every), np.int32), every / 25, level
    ).surprise


def test_lips_go_with_their_own_sound_and_with_no_other() -> None:
    for seed in range(5):
        opening, level = talk(seed)
        assert agreement(opening, level) > 1.5 * SURE
        assert agreement(opening, talk(seed + 10)[1]) < SURE
        assert agreement(opening, level, np.arange(20)) < SURE, "less than a second tells nothing"
    assert agreement(opening, np.full(800, -100.0)) == 0
