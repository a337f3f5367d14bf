"""Several people and parts of a film: who is to speak does, and nothing else moves."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dubber import DubConfig, dub, make_runtime
from dubber.errors import ConfigError
from dubber.media.audio import iterate_audio
from dubber.script import Line, Script, in_range, of_speakers, read_script
from tests.synth import make_clip, talking_sound, write_wav
from tests.traps.make import ffmpeg

SIZE, NUM_FRAMES, RATE = 240, 40, 25
EXEMPLAR = DubConfig().with_overrides({"render.renderer": "exemplar"})
MOUTHS = slice(150, 240)
"""Rows of both faces' mouths and chins."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side; keyframes every ten frames."""
    folder = tmp_path_factory.mktemp("film")
    left = make_clip(folder / "left.mp4", num_frames=NUM_FRAMES).path
    right = make_clip(folder / "right.mp4", num_frames=NUM_FRAMES, seed=5, cut_at=0).path
    options = ("-filter_complex", "hstack", "-map", "0:a", "-crf", "16", "-g", "10", "-c:a", "copy")
    ffmpeg("-i", left, "-i", right, *options, folder / "film.mp4")
    return folder / "film.mp4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def voice(folder: Path, seconds: float, seed: int) -> Path:
    return write_wav(folder / f"voice{seed}.wav", talking_sound(seconds, seed=seed))


def lumas(path: Path) -> list[NDArray[np.float32]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(np.float32) for frame in container.decode(video=0)]


def changes(first: Path, second: Path) -> NDArray[np.float32]:
    """(N, 2) mean difference of luma around the mouth, left and right."""
    pairs = zip(lumas(first), lumas(second), strict=True)
    halves = (slice(0, SIZE), slice(SIZE, 2 * SIZE))
    return np.array([[np.abs(a - b)[MOUTHS, half].mean() for half in halves] for a, b in pairs])


def heard(path: Path) -> NDArray[np.float32]:
    chunks = list(iterate_audio(path))
    return np.concatenate([chunk for chunk, _ in chunks])


def test_two_people_in_one_pass(film: Path, cache: Path, tmp_path: Path) -> None:
    seconds = NUM_FRAMES / RATE
    first, second = voice(tmp_path, seconds, 3), voice(tmp_path, seconds, 4)
    output = tmp_path / "dubbed.mp4"
    script = of_speakers({"120,130@0.4": first, "360,130@0.4": second})
    result = dub(film, script, output, config=EXEMPLAR, runtime=make_runtime(cache_dir=cache, device="cpu"))
    assert (result.num_frames, result.num_dubbed_frames, result.length_mode) == (
        NUM_FRAMES,
        NUM_FRAMES,
        "silence",
    )
    assert changes(film, output).max(axis=0) == pytest.approx([6, 6], abs=4)  # each mouth moved at some time
    samples, wanted = heard(output), heard(first) + heard(second)
    count = min(len(samples), len(wanted))
    assert np.corrcoef(samples[:count], wanted[:count])[0, 1] > 0.97


def test_a_range_of_one_person(film: Path, cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "dubbed.mp4"
    config = EXEMPLAR.with_overrides({"track.speaker": "360,130@0.4"})
    script = in_range(voice(tmp_path, 3.0, 4), 0.8, 1.2)
    result = dub(film, script, output, config=config, runtime=make_runtime(cache_dir=cache, device="cpu"))
    assert (result.num_dubbed_frames, result.passed_through) == (10, ())
    assert result.num_copied_frames >= 20
    found = changes(film, output)
    assert not found[: result.num_copied_frames // 2].any()  # packets of the film's own
    assert found[20:30, 1].max() > 2
    assert found[:, 0].max() < 1.5  # the other person: nothing but the encoder's loss
    samples, own = heard(output), heard(film)
    rate = len(own) / (NUM_FRAMES / RATE)
    before, within = slice(0, int(0.75 * rate)), slice(int(0.85 * rate), int(1.15 * rate))
    assert np.corrcoef(samples[before], own[before])[0, 1] > 0.97
    assert abs(np.corrcoef(samples[within], own[within])[0, 1]) < 0.9


def test_a_line_behind_the_film_s_end_and_one_that_reaches_over_it(
    film: Path, cache: Path, tmp_path: Path
) -> None:
    said = voice(tmp_path, 1.0, 3)
    script = Script((said,), lines=(Line(0, 0, 1.2, 2.2), Line(0, 0, 5.0, 6.0)), whole_voices=())
    output = tmp_path / "dubbed.mp4"
    result = dub(film, script, output, config=EXEMPLAR, runtime=make_runtime(cache_dir=cache, device="cpu"))
    assert (result.num_frames, result.num_dubbed_frames) == (NUM_FRAMES, 10)
    assert any("1.6 s of lines lie behind the film's end" in warning for warning in result.warnings)


def test_nothing_within_the_film(film: Path, cache: Path, tmp_path: Path) -> None:
    script = in_range(voice(tmp_path, 1.0, 3), 100.0, None)
    with pytest.raises(ConfigError, match="the film lasts"):
        dub(film, script, tmp_path / "o.mp4", runtime=make_runtime(cache_dir=cache, device="cpu"))


def test_two_names_of_one_person(film: Path, cache: Path, tmp_path: Path) -> None:
    script = of_speakers({"1": voice(tmp_path, 1.6, 3), "largest": voice(tmp_path, 1.6, 4)})
    with pytest.raises(ConfigError, match="same person"):
        dub(film, script, tmp_path / "o.mp4", runtime=make_runtime(cache_dir=cache, device="cpu"))


def test_diarised_speech_is_heard_throughout(film: Path, cache: Path, tmp_path: Path) -> None:
    """Only one of its speakers has a line, and that ends early: film and sound go on."""
    rttm = tmp_path / "talk.rttm"
    rttm.write_text("SPEAKER talk 1 0.4 0.4 <NA> <NA> SPEAKER_00 <NA> <NA>\n")
    said = voice(tmp_path, NUM_FRAMES / RATE, 3)
    script = read_script(rttm, said, {"SPEAKER_00": "360,130@0.4"})
    output = tmp_path / "dubbed.mp4"
    result = dub(film, script, output, config=EXEMPLAR, runtime=make_runtime(cache_dir=cache, device="cpu"))
    assert (result.num_frames, result.length_mode) == (NUM_FRAMES, "silence")
    samples, wanted = heard(output), heard(said)
    count = min(len(samples), len(wanted))
    assert np.corrcoef(samples[:count], wanted[:count])[0, 1] > 0.97


@pytest.mark.parametrize(
    ("mode", "script"),
    [
        ("retime", of_speakers({"1": Path("a.wav"), "2": Path("b.wav")})),
        ("loop", in_range(Path("a.wav"), 1.0, 2.0)),
    ],
)
def test_lengths_that_cannot_be(film: Path, tmp_path: Path, mode: str, script: Script) -> None:
    voices = tuple(voice(tmp_path, 1.0, seed) for seed, _ in enumerate(script.voices))
    script = Script(voices, script.speakers, script.lines, script.whole_voices)
    config = EXEMPLAR.with_overrides({"length.mode": mode})
    with pytest.raises(ConfigError, match=r"--length|retimed"):
        dub(film, script, tmp_path / "o.mp4", config=config, runtime=make_runtime(cache_dir=tmp_path / "c"))
