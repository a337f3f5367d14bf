"""Preflight: what is said before a run is what a run would do."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.config import DubConfig
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, MediaError, NoFaceError
from dubber.media.probe import probe
from dubber.media.sampling import pictures_at, spread_ticks
from dubber.media.survey import survey
from dubber.preflight import Preflight, Request, check, checks, faces, quick
from dubber.preflight.cost import run_seconds
from dubber.preflight.faces import FaceFacts, face_findings
from dubber.preflight.findings import Finding, failure
from dubber.preflight.speech import listened, speech_findings, speech_header
from dubber.script import Line, Script, of_speakers, whole
from tests.media.clips import index_of, write_clip
from tests.synth import make_clip, make_wall_clip, talking_sound, vfr_pts, write_wav

NUM_FRAMES, FACELESS = 40, range(15, 28)
"""At 25 fps: 1.6 s, of which 0.6 s to 1.12 s show nobody."""


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gapped") / "talk.mp4"
    return make_clip(path, num_frames=NUM_FRAMES, size=(240, 240), faceless=FACELESS).path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s of anything."""
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", [512 * n for n in range(75)])


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("voice") / "line.wav", talking_sound(NUM_FRAMES / 25))


@pytest.fixture
def request_of(runtime: Runtime, tmp_path: Path):
    def make(video: Path, audio: Path | Script, **overrides: object) -> Request:
        config = DubConfig().with_overrides({key.replace("__", "."): v for key, v in overrides.items()})
        said = audio if isinstance(audio, Script) else whole(audio)
        return Request(video, said, tmp_path / "out.mp4", config, runtime)

    return make


def codes(found: Preflight, level: str) -> list[str]:
    return [finding.code for finding in found.findings if finding.level == level]


def test_where_nobody_is_seen_is_told_with_its_time(request_of, gapped: Path, voice: Path) -> None:
    found = check(request_of(gapped, voice))
    assert codes(found, "error") == []
    assert codes(found, "warning") == ["passes-through"]
    assert found.faces is not None
    assert [part.reason for part in found.faces.passes_through] == ["no_face"]
    ((start_s, end_s),) = found.findings[0].ranges_s
    assert start_s == pytest.approx(FACELESS.start / 25, abs=0.05)
    assert end_s == pytest.approx(FACELESS.stop / 25, abs=0.05)
    assert found.faces.usable_share == pytest.approx(1 - len(FACELESS) / NUM_FRAMES, abs=0.04)
    assert found.failure() is None
    assert found.voices[0].spoken_share is not None
    assert found.cost is not None
    assert {"people", "render", "remux"} < set(found.cost.stages_to_run)
    assert found.cost.num_cached == 0


def test_small_faces_are_told_from_none(
    request_of, gapped: Path, voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "NUM_SAMPLES", 4)
    found = check(request_of(gapped, voice, track__min_face_px=900.0))
    error = found.failure()
    assert isinstance(error, NoFaceError)
    assert found.faces is not None
    assert found.faces.widest_px > 0
    assert f"{found.faces.widest_px:.0f} px" in error.message


def test_all_that_is_wrong_is_said_at_once(request_of, gapped: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"mine")
    found = quick(request_of(gapped, tmp_path / "absent.wav", remux__vcodec="no_such_encoder"))
    assert set(codes(found, "error")) == {"speech", "output", "encoder"}
    assert {finding.exit_code for finding in found.findings} == {3, 9, 2}
    assert all(finding.advice for finding in found.findings)
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"


def test_a_model_that_is_refused_looks_at_nothing(
    request_of, gapped: Path, voice: Path, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "det_500m.onnx").write_bytes(b"a network")
    monkeypatch.setenv("DUBBER_INSIGHTFACE_DIR", str(tmp_path))
    monkeypatch.setattr(checks, "look_for_faces", lambda *_: pytest.fail("it was used"))
    weights = replace(runtime.weights, is_commercial=True)
    asked = request_of(gapped, voice, **{"people.backend": "insightface"})
    for said in (asked.said, whole(tmp_path / "absent.wav")):
        found = check(replace(asked, said=said, runtime=replace(runtime, weights=weights)))
        assert found.failure() is not None and found.faces is None
    assert "Nobody said" in str(check(replace(asked, runtime=replace(runtime, weights=weights))).failure())


def test_quick_neither_listens_nor_looks_for_faces(request_of, voice: Path, tmp_path: Path) -> None:
    silent = write_wav(tmp_path / "silent.wav", np.zeros(16000, np.float32))
    wall = make_wall_clip(tmp_path / "wall.mp4", num_frames=2).path
    found = quick(request_of(wall, silent))
    assert found.failure() is None
    assert found.length is not None
    assert found.faces is found.cost is None
    listened = check(request_of(wall, silent))
    assert isinstance(listened.failure(), MediaError)


def test_an_output_folder_is_not_made_for_a_question(request_of, gapped: Path, voice: Path) -> None:
    asked = request_of(gapped, voice)
    missing = asked.output.parent / "new" / "deep" / "out.mp4"
    found = quick(Request(asked.video, asked.said, missing, asked.config, asked.runtime))
    assert found.failure() is None
    assert not missing.parent.parent.exists()


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_cut_off_is_seen_without_decoding(
    request_of, gapped: Path, voice: Path, tmp_path: Path, share: float
) -> None:
    data = gapped.read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data[: int(len(data) * share)])
    error = quick(request_of(broken, voice)).failure()
    assert isinstance(error, MediaError)


@pytest.mark.parametrize(
    ("mode", "speech_s", "told", "output_s", "warned"),
    [
        ("auto", 3.3, "silence", 3.0, []),
        ("auto", 4.0, "retime", 4.0, []),
        ("auto", 6.0, "retime", 6.0, ["stretched-much"]),
        ("silence", 4.0, "silence", 3.0, ["speech-cut-off"]),
        ("bounce", 7.0, "bounce", 7.0, []),
        ("cut_off", 1.0, "cut_off", 1.0, []),
    ],
)
def test_length_is_told(
    request_of,
    film: Path,
    tmp_path: Path,
    mode: str,
    speech_s: float,
    told: str,
    output_s: float,
    warned: list,
) -> None:
    line = write_wav(tmp_path / "line.wav", talking_sound(speech_s))
    found = quick(request_of(film, line, length__mode=mode))
    assert found.length is not None
    assert found.length.mode == told
    assert found.length.output_s == pytest.approx(output_s, abs=0.05)
    assert codes(found, "warning") == warned


def lines_of(voice: Path, *times_s: tuple[float, float]) -> Script:
    """Lines over the film's own sound."""
    return Script((voice,), lines=tuple(Line(0, 0, *times) for times in times_s), whole_voices=())


@pytest.mark.parametrize(
    ("times_s", "behind_s", "asked_share"),
    [
        ([(0.5, 1.5)], 0.0, 1 / 3),
        ([(2.5, 3.5), (9.0, 9.25)], 0.75, 1 / 6),
        ([(2.5, 3.0), (1e6, 1e6 + 1)], 1.0, 1 / 6),
    ],
    ids=["within", "over the end", "far away"],
)
def test_lines_behind_the_film_are_told(
    request_of, film: Path, voice: Path, times_s: list, behind_s: float, asked_share: float
) -> None:
    found = quick(request_of(film, lines_of(voice, *times_s)))
    assert found.failure() is None
    assert found.length is not None
    assert (found.length.output_s, found.length.behind_s) == (3.0, pytest.approx(behind_s))
    assert found.length.asked_share == pytest.approx(asked_share, abs=1e-3)
    told = [finding.message for finding in found.findings if finding.code == "speech-cut-off"]
    assert len(told) == (behind_s > 0)
    assert all(f"{behind_s:.1f} s of the lines" in message for message in told)


def test_no_line_within_the_film_is_an_error(request_of, film: Path, voice: Path) -> None:
    found = quick(request_of(film, lines_of(voice, (4.0, 5.0), (7.0, 8.0))))
    assert codes(found, "error") == ["lines-outside"]
    assert isinstance(found.failure(), ConfigError)


def test_speech_of_several_people_is_advised_what_they_may(request_of, film: Path, tmp_path: Path) -> None:
    long = write_wav(tmp_path / "long.wav", talking_sound(4.0))
    found = quick(request_of(film, of_speakers({"1": long, "2": long})))
    (finding,) = (each for each in found.findings if each.code == "speech-cut-off")
    assert "1.0 s of the speech" in finding.message
    assert "retime" not in finding.advice


@pytest.mark.parametrize("bed", ["absent.wav", "mute.mp4", "empty.wav"])
def test_a_bed_that_cannot_be_heard_is_told_before_the_work(
    request_of, film: Path, voice: Path, tmp_path: Path, bed: str
) -> None:
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    write_clip(tmp_path / "mute.mp4", [0, 512])
    found = quick(request_of(film, replace(whole(voice), bed=tmp_path / bed)))
    assert codes(found, "error") == ["bed"]
    assert found.findings[0].where == str(tmp_path / bed)


@pytest.mark.parametrize(
    ("who", "speakers", "is_asked"),
    [("largest", (), True), ("longest", (), False), ("2", (), False), ("largest", ("1", "2"), False)],
)
def test_who_speaks_is_asked_only_where_nobody_said_it(
    who: str, speakers: tuple[str, ...], *, is_asked: bool
) -> None:
    seen = FaceFacts(9, 3.0, 1.0, 2, 90.0, 120.0, 10.0, ())
    config = DubConfig().with_overrides({"track.speaker": who})
    said = Script((Path("line.wav"),), speakers)
    found = face_findings(seen, Path("talk.mp4"), 3.0, config, said)
    assert [finding.code for finding in found] == (["several-people"] if is_asked else [])


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.clip(talking_sound(1.0) * 20, -1, 1), "clipped-speech"),
        (talking_sound(1.0) * 0.02, "quiet-speech"),
        (np.concatenate([np.zeros(40000, np.float32), talking_sound(1.0)]), "silence-at-start"),
        (np.concatenate([talking_sound(1.0), np.zeros(40000, np.float32)]), "silence-at-end"),
        (np.random.default_rng(0).normal(0, 0.02, 16000).astype(np.float32), "little-speech"),
        (talking_sound(1.0), None),
    ],
    ids=["clipped", "quiet", "late", "early", "noise", "good"],
)
def test_what_ails_the_speech_is_told(tmp_path: Path, samples: np.ndarray, code: str | None) -> None:
    facts = listened(speech_header(write_wav(tmp_path / "line.wav", samples)))
    assert [finding.code for finding in speech_findings(facts)] == ([code] if code else [])
    assert facts.listened_s == pytest.approx(facts.duration_s, abs=0.02)


def test_strict_takes_warnings_as_errors() -> None:
    warning = Finding("warning", "some-code", "Something is odd.")
    note = Finding("info", "other-code", "Something is so.")
    broken = Finding.of_error("broken", MediaError("It is broken."))
    assert failure((warning, note)) is None
    assert failure((note,), is_strict=True) is None
    strict = failure((warning, note), is_strict=True)
    assert isinstance(strict, ConfigError)
    assert "Something is odd." in strict.message
    assert failure((warning, broken), is_strict=True) is broken.cause


def test_a_large_film_is_not_read_for_its_checksum(
    request_of, gapped: Path, voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request_of(gapped, voice)
    monkeypatch.setattr("dubber.preflight.checks._HASHED_BYTES", 0)
    found = quick(asked)
    assert found.failure() is None
    assert not list((asked.runtime.cache_dir / "sources").glob("*")), "a checksum was made, or made up"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_survey_tells_what_probing_finds(tmp_path: Path, suffix: str) -> None:
    step = 1 if suffix == ".avi" else 512
    base = Fraction(1, 25) if suffix == ".avi" else Fraction(1, 12800)
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write_clip(tmp_path / f"clip{suffix}", [step * n for n in range(60)], codec=codec, time_base=base)
    facts, index = survey(path)
    clip = probe(path)
    assert (facts.size, facts.num_frames, facts.is_variable_rate) == (clip.size, 60, False)
    assert facts.duration_s == pytest.approx(clip.duration_s, abs=0.005)
    assert facts.frame_rate == pytest.approx(25, rel=0.01)
    np.testing.assert_allclose(index.clip.times_s_T, clip.times_s_T, atol=1e-3)


def test_survey_tells_uneven_times_gaps_and_rotation(tmp_path: Path) -> None:
    base = Fraction(1, 90000)
    pts = vfr_pts(50, Fraction(25), base)
    pts[30:] += 90000
    facts, _ = survey(write_clip(tmp_path / "uneven.mp4", pts.tolist(), time_base=base, rotation=270))
    assert facts.is_variable_rate
    assert facts.has_gaps
    assert facts.longest_frame_s > 1
    assert facts.rotation_deg == 90


def test_pictures_are_those_of_their_times(tmp_path: Path) -> None:
    """Keyframes lie 12 frames apart; what is asked for between them is found too."""
    path = write_clip(tmp_path / "clip.mp4", [512 * n for n in range(40)])
    _, index = survey(path)
    wanted = [0, 5, 13, 24, 39]
    ticks = np.array([512 * n for n in wanted], np.int64)
    shown = [picture for picture in pictures_at(path, index, ticks) if picture is not None]
    assert [index_of(frame) for _, frame in shown] == wanted
    assert [tick // 512 for tick, _ in shown] == wanted


def test_samples_prefer_keyframes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", [512 * n for n in range(48)])
    facts, index = survey(path)
    ticks_K = spread_ticks(facts, index, 3)
    assert set(ticks_K.tolist()) <= set(index.keyframes_K.tolist())
    assert len(ticks_K) == 3


def test_cost_follows_length_size_and_method(request_of, gapped: Path, voice: Path) -> None:
    found = quick(request_of(gapped, voice))
    assert found.footage is not None
    assert found.length is not None

    def seconds(stages: list[str], renderer: str = "hybrid", speed: float = 1.0) -> float:
        config = DubConfig().with_overrides({"render.renderer": renderer})
        return run_seconds(stages, found.footage, found.length, None, config, speed)[0]

    stages = ["demux", "people", "render", "adapt", "remux"]
    assert seconds([]) < seconds(["remux"]) < seconds(stages)
    assert seconds(stages, "copy") < seconds(stages, "exemplar") < seconds(stages)
    assert seconds([*stages, "render", "adapt"]) > seconds([*stages, "render"]) + 30 > seconds(stages) + 30
    part = replace(found.length, asked_share=0.1)
    assert run_seconds(stages, found.footage, part, None, DubConfig(), 1.0)[0] < seconds(stages)
    stages.remove("adapt")
    assert seconds(stages, speed=2.0) == pytest.approx(seconds(stages) / 2)
