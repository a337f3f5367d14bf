"""The people stage: who is who across cuts; and choosing one of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubber.engine.plan import Plan
from dubber.engine.stage import Runtime, StageContext
from dubber.engine.store import Store
from dubber.errors import ConfigError, MediaError, NoFaceError
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.ops.speaker import Speaker, parse_speaker
from dubber.stages.choice import choose
from dubber.stages.demux import Demux, DemuxParams
from dubber.stages.people import FindPeople, PeopleParams, plan_people
from dubber.stages.sightings import Sightings, largest_first
from dubber.stages.speech import ExtractOwnSpeech
from dubber.stages.track import TrackParams, make_track, plan_track
from dubber.tracking.base import FaceObservation, RgbPicture
from dubber.types import Clip, ColorTags, People, SourceFile, Speech, StoredFile, UInt8, WhyNot
from tests.conftest import real_clip
from tests.ops.test_speaker import talk
from tests.stages.test_track import Script, mesh
from tests.synth import write_wav

SIZE = (480, 640)


def scene(seed: int) -> UInt8:
    """Blobs, the same ones for a seed: a face, clothes and a wall."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def found(frames: list[tuple[int, list[FaceObservation]]], folder: Path) -> People:
    """Whom the stage sees in scenes, each given by its seed, with faces."""
    with Sightings(Script([faces for _, faces in frames]), folder) as seen:
        for index, (seed, _) in enumerate(frames):
            seen.add(RgbPicture(scene(seed)), index / 25)
        return seen.people()


def clip_of(num_frames: int, size: tuple[int, int] = SIZE) -> Clip:
    pts = np.arange(num_frames, dtype=np.int64)
    color, rate = ColorTags(1, 1, 1, 1), Fraction(1, 25)
    return replace(_ANY, pts_T=pts, time_base=rate, end_pts=num_frames, size=size, color=color)


_ANY = Clip(
    np.zeros(0, np.int64),
    Fraction(1),
    0,
    SIZE,
    0,
    Fraction(1),
    "yuv420p",
    ColorTags(1, 1, 1, 1),
    "h264",
    0,
    True,
)


def test_people_who_take_turns_are_known_again(tmp_path: Path) -> None:
    """Two chairs, one framing: only looks tell who it is."""
    frames = [(seed, [mesh()]) for seed in (1, 2, 1, 2, 1) for _ in range(6)]
    people = found(frames, tmp_path)
    assert people.num_people == 2
    assert people.person_S.tolist() == [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 + [0] * 6
    assert people.shot_id_T[-1] == 4
    rows = people.look_rows_PA[1][people.look_rows_PA[1] >= 0]
    assert len(rows)
    assert (people.person_S[rows] == 1).all()


def test_who_comes_back_after_a_minute_is_known(tmp_path: Path) -> None:
    people = found([(1, [mesh()])] * 4 + [(1, [])] * 80 + [(1, [mesh()])] * 4, tmp_path)
    assert people.num_people == 1


def test_two_faces_in_one_frame_are_two_people_even_if_alike(tmp_path: Path) -> None:
    people = found([(1, [mesh(300), mesh(302, 203)])] * 3, tmp_path)
    assert people.num_people == 2


def test_nobody(tmp_path: Path) -> None:
    people = found([(1, [])] * 3, tmp_path)
    assert people.num_people == 0
    assert len(people.landmarks_SL3) == 0


def test_a_recogniser_is_believed(tmp_path: Path) -> None:
    """The same looks, another person; other looks, the same person."""
    ann, bob = np.eye(512, dtype=np.float32)[:2]
    frames = [
        (seed, [replace(mesh(), embedding_E=who)])
        for seed, who in ((1, ann), (2, bob), (3, ann))
        for _ in range(5)
    ]
    assert found(frames, tmp_path).person_S.tolist() == [0] * 5 + [1] * 5 + [0] * 5


def test_the_largest_come_first() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 2, 2], [0, 0, 2, 2]], np.float32)
    person_S, num_people = largest_first(np.array([7, 4, 7, 7], np.int32), boxes)
    assert person_S.tolist() == [0, 1, 0, 0]
    assert num_people == 2


def pair(tmp_path: Path) -> People:
    """A small face for ten frames, a large one beside it for three of them."""
    small, large = mesh(100, 240, 60), mesh(450, 240, 190)
    return found([(1, [small, large] if 4 <= t < 7 else [small]) for t in range(10)], tmp_path)


def test_a_person_is_chosen(tmp_path: Path) -> None:
    people, clip = pair(tmp_path), clip_of(10)
    assert choose(Speaker("largest"), people, clip).person == 0
    assert choose(Speaker("longest"), people, clip).person == 1
    assert choose(parse_speaker("2"), people, clip).person == 1
    assert choose(parse_speaker("450,240@0.2"), people, clip).person == 0
    assert choose(parse_speaker("100,240@0"), people, clip).person == 1


@pytest.mark.parametrize(
    ("speaker", "message", "advice"),
    [
        ("3", "no person 3", "There are: 1 (from 0.2 s, in 30%"),
        ("450,240@0", "Nobody's face is there", "2 at "),
        ("700,240@0", "outside", "dubber --help"),
        ("100,240@9", "outside", "dubber --help"),
    ],
)
def test_who_is_not_there_is_told(tmp_path: Path, speaker: str, message: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        choose(parse_speaker(speaker), pair(tmp_path), clip_of(10))
    if advice != "dubber --help":
        assert advice in caught.value.advice


def test_who_talks_is_chosen(tmp_path: Path) -> None:
    """The small face moves its lips with the sound, the large one with another."""
    (own, level), (other, _) = talk(1), talk(2)
    frames = []
    for ours, theirs in zip(own, other, strict=True):
        faces = [mesh(100, 240, 60), mesh(450, 240, 190)]
        for face, opening, scale in zip(faces, (ours, theirs), (60, 190), strict=True):
            face.landmarks_L3[14, 1] += opening * scale
        frames.append((1, faces))
    people, clip = found(frames, tmp_path), clip_of(len(frames))
    samples = (
        0.5 * np.repeat(10 ** (level / 20), 160) * np.random.default_rng(0).choice([-1, 1], len(level) * 160)
    )
    speech = Speech(
        StoredFile(write_wav(tmp_path / "s.wav", samples.astype(np.float32))), 16000, len(samples)
    )
    assert choose(Speaker("auto"), people, clip, own_speech=speech).person == 1
    silent = Speech(StoredFile(write_wav(tmp_path / "n.wav", np.zeros(0, np.float32))), 16000, 0)
    choice = choose(Speaker("auto"), people, clip, own_speech=silent)
    assert choice.person == 0
    assert "no sound" in choice.warnings[0]


def test_a_picture_counts_by_its_content(runtime: Runtime, tmp_path: Path) -> None:
    plan = Plan(runtime.weights, Store(runtime.cache_dir))
    video = tmp_path / "any.mp4"
    video.write_bytes(b"video")
    source = plan.source(video)
    clip = plan.add(Demux(DemuxParams()), source)
    people, sound = plan_people(plan, PeopleParams(), source, clip), plan.add(ExtractOwnSpeech(), source)
    keys = {}
    for name, content in (("a.png", b"1"), ("b.png", b"1"), ("c.png", b"2")):
        (tmp_path / name).write_bytes(content)
        params = TrackParams(speaker=str(tmp_path / name))
        keys[name] = plan_track(plan, params, source, clip, people, sound).key
    assert keys["a.png"] == keys["b.png"] != keys["c.png"]
    largest = plan_track(plan, TrackParams(), source, clip, people, sound)
    assert sound.index not in plan.nodes[largest.index].inputs, "only lips wait for the sound"
    auto = plan_track(plan, TrackParams(speaker="auto"), source, clip, people, sound)
    assert sound.index in plan.nodes[auto.index].inputs
    with pytest.raises(MediaError):
        plan_track(plan, TrackParams(speaker="none.png"), source, clip, people, sound)


def test_reasons_and_limits_with_some_slack(tmp_path: Path) -> None:
    far, near = mesh(yaw_radians=np.deg2rad(57)), mesh(yaw_radians=np.deg2rad(50))
    gone, small = mesh(yaw_radians=np.deg2rad(70)), mesh(scale=20)
    frames = [[near], [far], [near], [gone], [far], *([[]] * 6), [mesh(550, 400, 20), near], [small]]
    people = found([(1, faces) for faces in frames], tmp_path)
    track = make_track(people, 0, TrackParams(max_gap_frames=0), tmp_path)
    assert [WhyNot(code).name for code in track.why_not_T] == [
        *["USABLE"] * 3,
        *["TURNED_AWAY"] * 2,
        *["NO_FACE"] * 6,
        "USABLE",
        "TOO_SMALL",
    ]
    np.testing.assert_array_equal(track.is_usable_T, track.why_not_T == WhyNot.USABLE)


def test_other_people_are_told_from_nobody(tmp_path: Path) -> None:
    track = make_track(pair(tmp_path), 0, TrackParams(max_gap_frames=0), tmp_path)
    assert (track.why_not_T[:4] == WhyNot.OTHER_PERSON).all()


def test_a_picture_names_somebody(context: StageContext, tmp_path: Path) -> None:
    path = real_clip("hard/debate_avi.avi")
    clip = probe(path)
    short = replace(clip, pts_T=clip.pts_T[:12])
    people = FindPeople(PeopleParams()).run(context, SourceFile(path, ""), short)
    assert people.num_people == 2
    (later,) = read_frames(path, clip, 60, 61)
    for person in range(2):
        x0, y0, x1, y1 = people.boxes_S4[people.person_S == person][-1]
        margin = (x1 - x0) / 2
        part = later.rgb()[
            int(max(y0 - margin, 0)) : int(y1 + margin), int(max(x0 - margin, 0)) : int(x1 + margin)
        ]
        picture = tmp_path / f"{person}.png"
        assert cv2.imwrite(str(picture), part[..., ::-1])
        choice = choose(
            Speaker("reference"), people, short, reference=SourceFile(picture, ""), scratch=tmp_path
        )
        assert choice.person == person
    nobody = tmp_path / "wall.png"
    cv2.imwrite(str(nobody), scene(1))
    with pytest.raises(NoFaceError, match="no face"):
        choose(Speaker("reference"), people, short, reference=SourceFile(nobody, ""), scratch=tmp_path)
