from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dubber.errors import MediaError
from dubber.media import mixing
from dubber.media.mixing import MixJob, PlacedLine, mix_sound, shares
from dubber.media.mux import find_ffmpeg, run_ffmpeg
from dubber.types import Float32
from tests.handles import few_handles
from tests.media.clips import tone, write_clip, write_tone

RATE = 48000


def write_steps(path: Path, levels: list[float], rate_hz: int = RATE, num_channels: int = 1) -> Path:
    """A second of each level."""
    samples = np.repeat(np.array(levels, np.float32), rate_hz)
    soundfile.write(path, np.repeat(samples[:, None], num_channels, 1), rate_hz, subtype="FLOAT")
    return path


def read(path: Path) -> Float32:
    return np.asarray(soundfile.read(path, dtype="float32", always_2d=True)[0], np.float32)


def test_lines_are_heard_where_they_were_put(tmp_path: Path) -> None:
    voice = write_steps(tmp_path / "v.wav", [0.1, 0.2, 0.3])
    lines = [PlacedLine(0, 0.5, 1.05, 1.95), PlacedLine(0, 2.0, 0.0, 0.5), PlacedLine(0, 3.0, 2.0, 9.0)]
    mixed = mix_sound(MixJob(5.0, [voice], lines), tmp_path / "o.wav", tmp_path)
    samples = read(tmp_path / "o.wav")
    assert samples.shape == (5 * RATE, 1) == (mixed.num_samples, mixed.num_channels)
    at = [0.2, 0.6, 1.3, 1.7, 2.1, 2.4, 2.7, 3.1, 3.9, 4.1]
    levels = [samples[round(s * RATE), 0] for s in at]
    np.testing.assert_allclose(levels, [0, 0.2, 0.2, 0, 0.1, 0.1, 0, 0.3, 0.3, 0], atol=1e-6)
    assert np.abs(np.diff(samples[: 2 * RATE - 2, 0])).max() < 0.01  # no click at cuts
    assert samples[2 * RATE, 0] == pytest.approx(0.1, abs=1e-6)  # a recording's own begin is not faded
    assert not list(tmp_path.glob("*.w64"))


def test_the_own_sound_is_crossfaded_around_what_takes_its_place(tmp_path: Path) -> None:
    own = write_steps(tmp_path / "own.wav", [0.4] * 4)
    voice = write_steps(tmp_path / "v.wav", [0.4] * 3)
    job = MixJob(4.0, [voice], [PlacedLine(0, 1.0, 1.0, 2.0)], own=own, ranges=[(1.0, 2.0)])
    mix_sound(job, tmp_path / "o.wav", tmp_path)
    np.testing.assert_allclose(read(tmp_path / "o.wav"), 0.4, atol=1e-4)  # the shares add up to one
    mix_sound(MixJob(4.0, [], [], own=own, ranges=[(1.0, 2.0)]), tmp_path / "o.wav", tmp_path)
    samples = read(tmp_path / "o.wav")[:, 0]
    assert not samples[round(1.006 * RATE) : round(1.994 * RATE)].any()
    assert samples[RATE] == pytest.approx(0.2, abs=0.001)
    np.testing.assert_allclose(samples[: round(0.994 * RATE)], 0.4, atol=1e-6)


def test_ranges_at_the_ends_and_beside_each_other_leave_no_gap() -> None:
    np.testing.assert_allclose(shares(0, 3000, 1000, [(0, 1), (1, 2), (2, 3)], 3.0), 1)
    half = shares(0, 3000, 1000, [(1, 2)], 3.0)
    np.testing.assert_allclose(half[[0, 994, 1000, 1006, 1994, 2000, 2006]], [0, 0, 0.5, 1, 1, 0.5, 0])


def test_a_bed_lies_under_all(tmp_path: Path) -> None:
    bed = write_steps(tmp_path / "bed.wav", [0.2] * 2, 44100, 2)
    voice = write_steps(tmp_path / "v.wav", [0.3], 16000)
    job = MixJob(3.0, [voice], [PlacedLine(0, 1.0, 0.0, 1.0)], bed=bed, bed_gain_db=-6.0206)
    mixed = mix_sound(job, tmp_path / "o.wav", tmp_path)
    assert (mixed.rate_hz, mixed.num_channels) == (44100, 2)
    samples = read(tmp_path / "o.wav")
    levels = samples[[22050, 66150, 110250]]
    np.testing.assert_allclose(levels, np.array([[0.1, 0.1], [0.4, 0.4], [0, 0]]), atol=2e-3)


def test_too_loud_a_sum_is_lowered_not_clipped(tmp_path: Path) -> None:
    loud = write_steps(tmp_path / "a.wav", [0.9, 0.3])
    lines = [PlacedLine(0, 0.0, 0.0, 2.0), PlacedLine(1, 0.0, 0.0, 2.0)]
    mixed = mix_sound(MixJob(2.0, [loud, loud], lines), tmp_path / "o.wav", tmp_path)
    samples = read(tmp_path / "o.wav")
    assert mixed.gain_db == pytest.approx(20 * np.log10(1 / 1.8) - 0.1, abs=1e-3)
    assert samples[RATE // 2, 0] == pytest.approx(3 * samples[3 * RATE // 2, 0], rel=1e-4)
    assert 0.98 < samples.max() < 1


def test_a_voice_comes_from_the_centre_of_a_film(tmp_path: Path) -> None:
    own = tmp_path / "own.wav"
    soundfile.write(own, np.full((RATE, 6), 0.1, np.float32), RATE)
    voice = write_steps(tmp_path / "v.wav", [0.5])
    job = MixJob(1.0, [voice], [PlacedLine(0, 0.0, 0.0, 1.0)], own=own)
    assert mix_sound(job, tmp_path / "o.wav", tmp_path).num_channels == 6
    np.testing.assert_allclose(read(tmp_path / "o.wav")[RATE // 2], [0.1, 0.1, 0.6, 0.1, 0.1, 0.1], atol=1e-4)


def test_rates_and_lengths(tmp_path: Path) -> None:
    fast = write_tone(tmp_path / "fast.wav", 2.0, 192000)
    slow = write_tone(tmp_path / "slow.wav", 2.0, 8000)
    job = MixJob(4.0, [fast, slow], [PlacedLine(0, 0.0, 0.0, 2.0), PlacedLine(1, 2.0, 0.0, 2.0)])
    mixed = mix_sound(job, tmp_path / "o.wav", tmp_path)
    assert (mixed.rate_hz, mixed.num_samples) == (RATE, 4 * RATE)
    samples = read(tmp_path / "o.wav")[:, 0]
    expected = tone(2.0, RATE)
    for part in (samples[: 2 * RATE], samples[2 * RATE :]):  # both in their place to a fraction of a sample
        assert np.abs(part - expected)[500:-500].max() < 0.01


def test_recordings_that_are_not_numbers_or_not_there(tmp_path: Path) -> None:
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.array([0.1, np.nan, np.inf, -np.inf] * 4000, np.float32), 16000, "FLOAT")
    mix_sound(MixJob(1.0, [broken], [PlacedLine(0, 0.0, 0.0, 1.0)]), tmp_path / "o.wav", tmp_path)
    assert np.isfinite(read(tmp_path / "o.wav")).all()
    assert read(tmp_path / "o.wav")[0, 0] == pytest.approx(0.1, abs=1e-4)
    with pytest.raises(MediaError):
        mix_sound(MixJob(1.0, [tmp_path / "gone.wav"], []), tmp_path / "p.wav", tmp_path)
    assert not (tmp_path / "p.wav").exists()
    mute = write_clip(tmp_path / "mute.mp4", [0, 512])
    voice = write_steps(tmp_path / "v.wav", [0.5])
    mix_sound(MixJob(1.0, [voice], [], own=mute), tmp_path / "o.wav", tmp_path)
    assert not read(tmp_path / "o.wav").any()


def test_the_chosen_track_of_the_film_is_heard(tmp_path: Path) -> None:
    film, tracks = tmp_path / "film.mkv", (tone(1.0, RATE), np.full(RATE, 0.25, np.float32))
    command = [find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(write_clip(tmp_path / "p.mp4", [0, 512]))]
    for number, samples in enumerate(tracks):
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE)
        command += ["-i", str(tmp_path / f"{number}.wav")]
    run_ffmpeg([*command, "-map", "0", "-map", "1", "-map", "2", "-c", "copy", str(film)])
    for track, expected in ((None, 0), (0, 0), (1, 1)):
        mix_sound(MixJob(1.0, [], [], own=film, own_track=track), tmp_path / "o.wav", tmp_path)
        np.testing.assert_allclose(read(tmp_path / "o.wav")[:, 0], tracks[expected], atol=1e-3)
    with pytest.raises(MediaError, match="no audio track 2"):
        mix_sound(MixJob(1.0, [], [], own=film, own_track=2), tmp_path / "o.wav", tmp_path)


def test_sound_of_the_film_that_cannot_be_read_is_not_taken_for_silence(tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    sound, pictures = write_tone(tmp_path / "s.wav", 1.0, RATE, 8), write_clip(tmp_path / "p.mp4", [0, 512])
    command = [find_ffmpeg(), "-y", "-loglevel", "error", "-i", str(pictures), "-i", str(sound)]
    run_ffmpeg([*command, "-c", "copy", str(film)])
    voice = write_steps(tmp_path / "v.wav", [0.5])
    with pytest.raises(MediaError, match="of 8 channels cannot be read"):
        mix_sound(MixJob(1.0, [voice], [], own=film), tmp_path / "o.wav", tmp_path)


def test_few_of_many_voices_are_open_at_once(tmp_path: Path) -> None:
    num_voices, rate_hz = 120, 8000
    voices = []
    for number in range(num_voices):
        voices.append(tmp_path / f"{number}.wav")
        soundfile.write(voices[-1], np.full(80, number / 500, np.float32), rate_hz, subtype="FLOAT")
    lines = [PlacedLine(number, number / 100, 0.0, 0.01) for number in range(num_voices)]
    with few_handles():
        mix_sound(MixJob(num_voices / 100, voices, lines), tmp_path / "o.wav", tmp_path)
    heard = read(tmp_path / "o.wav").reshape(num_voices, 80)
    np.testing.assert_allclose(heard - np.arange(num_voices)[:, None] / 500, 0, atol=1e-6)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write_tone(tmp_path / "own.wav", 2.0, 44100, 2)
    voice = write_tone(tmp_path / "v.wav", 1.5, 16000)
    lines = [PlacedLine(0, 0.3, 0.2, 1.1), PlacedLine(0, 0.9, 0.0, 1.5)]
    job = MixJob(2.0, [voice], lines, own=own, ranges=[(0.3, 1.2)])
    made = []
    for size in (1 << 16, 777):
        monkeypatch.setattr(mixing, "_BLOCK_SAMPLES", size)
        mix_sound(job, tmp_path / "o.wav", tmp_path)
        made.append((tmp_path / "o.wav").read_bytes())
    assert made[0] == made[1]
