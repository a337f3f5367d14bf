"""What edited cells mean for the expression and for the footage."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.curves.edits import (
    check_sources,
    check_speakers,
    edited_expression,
    edited_retime,
    placed_rows,
)
from dubber.curves.facts import misfits
from dubber.curves.opening import LipOpening
from dubber.curves.table import CurveTable, read_table
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError
from dubber.models.morphable import LinearFaceModel
from dubber.types import ExpressionTrack, Float32, RetimeMap, Timeline

NUM_FRAMES, NUM_SOURCE = 30, 50
FACE = "the face model"
OPENING = LipOpening(0.1, np.array([0.05, 0.0, 0.02]))


def timeline(num_frames: int = NUM_FRAMES, rate: int = 25) -> Timeline:
    pts_N, mode = np.arange(num_frames, dtype=np.int64), "retime"
    return Timeline(mode, pts_N, num_frames, Fraction(1, rate), np.full(num_frames, -1, np.int32), 1.0)


def computed() -> ExpressionTrack:
    rng = np.random.default_rng(0)
    expression_NK = rng.standard_normal((NUM_FRAMES, 3)).astype(np.float32)
    return ExpressionTrack(expression_NK, rng.random(NUM_FRAMES) < 0.3, rng.random(NUM_FRAMES) < 0.9)


def footage() -> RetimeMap:
    return RetimeMap(np.arange(10, 10 + NUM_FRAMES, dtype=np.int32), np.arange(NUM_FRAMES) % 4 == 3)


def table(folder: Path, names: str, rows: Sequence[str], **facts: str) -> CurveTable:
    told = [f"# {name},{value}" for name, value in facts.items()]
    (folder / "edited.csv").write_text("\n".join([*told, names, *rows, ""]))
    return read_table(folder / "edited.csv")


def edited(curves: CurveTable, speaker: int = 0) -> Float32:
    rows = placed_rows(curves, timeline(), speaker=speaker)
    track = edited_expression(computed(), rows, timeline(), OPENING, FACE)
    np.testing.assert_array_equal(track.is_silent_N, computed().is_silent_N)
    np.testing.assert_array_equal(track.is_asked_N, computed().is_asked_N)
    return track.expression_NK


def exported(num_frames: int = NUM_FRAMES) -> list[list[str]]:
    """All cells, as an export writes them: frame, mouth_opening and coefficients."""
    base_NK = computed().expression_NK[:num_frames]
    opening_N = OPENING.of(base_NK)
    values = zip(opening_N, base_NK, strict=True)
    return [[str(n), f"{o:.4f}", *(f"{v:.4f}" for v in e)] for n, (o, e) in enumerate(values)]


HEADER = "frame,mouth_opening,expression_00,expression_01,expression_02"


def whole(folder: Path, cells: list[list[str]], **facts: str) -> CurveTable:
    return table(folder, HEADER, [",".join(row) for row in cells], **facts)


@pytest.mark.parametrize("between", ["keep", "interpolate"])
def test_an_unedited_table_gives_the_very_same_bits(tmp_path: Path, between: str) -> None:
    found = edited(whole(tmp_path, exported(), between_rows=between))
    assert found.tobytes() == computed().expression_NK.tobytes()


def test_an_edited_opening_moves_the_expression_as_little_as_can_be(tmp_path: Path) -> None:
    cells = exported()
    cells[7][1] = "0.4000"
    found, base = edited(whole(tmp_path, cells)), computed().expression_NK
    assert (np.delete(found, 7, 0) == np.delete(base, 7, 0)).all()
    assert OPENING.of(found[7:8])[0] == pytest.approx(0.4, abs=1e-6)
    change_K = found[7] - base[7]
    # Of all changes that give this opening, the shortest is along the gradient.
    sine = np.linalg.norm(np.cross(change_K, OPENING.gradient_K))
    assert sine < 1e-6 * np.linalg.norm(change_K)


def test_coefficients_count_before_the_opening_of_their_row(tmp_path: Path) -> None:
    cells = exported()
    cells[7][1:3] = ["0.4000", "2.5"]
    cells[8][4] = "-3"
    found, base = edited(whole(tmp_path, cells)), computed().expression_NK
    np.testing.assert_array_equal(found[7], [2.5, base[7, 1], base[7, 2]])
    np.testing.assert_array_equal(found[8], [base[8, 0], base[8, 1], -3])


def test_rows_and_cells_that_are_missing_stay_as_computed(tmp_path: Path) -> None:
    found = edited(table(tmp_path, "frame,mouth_opening,expression_01", ["20,,1", "4,0.3,"]))
    base = computed().expression_NK
    is_same_N = (found == base).all(axis=1)
    assert np.flatnonzero(~is_same_N).tolist() == [4, 20]
    assert found[20, 1] == 1
    assert OPENING.of(found[4:5])[0] == pytest.approx(0.3, abs=1e-6)


def test_keyframes_are_joined_smoothly_and_never_overshoot(tmp_path: Path) -> None:
    keys = ["5,0.05", "10,0.30", "15,0.30", "20,0.05"]
    found = edited(table(tmp_path, "frame,mouth_opening", keys, between_rows="interpolate"))
    opening_N, base = OPENING.of(found), computed().expression_NK
    np.testing.assert_allclose(opening_N[[5, 10, 15, 20]], [0.05, 0.3, 0.3, 0.05], atol=1e-6)
    assert (np.diff(opening_N[5:11]) > 0).all()
    np.testing.assert_allclose(opening_N[10:16], 0.3, atol=1e-6)
    assert (np.diff(opening_N[15:21]) < 0).all()
    assert (found[:5] == base[:5]).all()
    assert (found[21:] == base[21:]).all()


def test_an_opening_at_a_keyframe_carries_over_to_the_frames_between(tmp_path: Path) -> None:
    cells = [exported()[n] for n in (5, 10, 15)]
    cells[1][1] = "0.5"
    opening_N = OPENING.of(edited(whole(tmp_path, cells, between_rows="interpolate")))
    first, last = OPENING.of(computed().expression_NK[[5, 15]])
    assert opening_N[10] == pytest.approx(0.5, abs=1e-6)
    assert first < opening_N[8] < opening_N[9] < 0.5
    assert last < opening_N[12] < opening_N[11] < 0.5


def test_another_frame_rate_is_resampled_by_time(tmp_path: Path) -> None:
    # 50 frames a second against 25: every other row falls between two frames.
    rows = [f"{n},{n / 50:.4f},{0.2 + 0.1 * np.sin(n / 9):.6f},7" for n in range(2 * NUM_FRAMES - 1)]
    curves = table(tmp_path, "frame,time_s,mouth_opening,source_frame", rows, frame_rate="50")
    opening_N = OPENING.of(edited(curves))
    np.testing.assert_allclose(opening_N, 0.2 + 0.1 * np.sin(2 * np.arange(NUM_FRAMES) / 9), atol=1e-5)
    # Frames of another rate mean nothing here.
    np.testing.assert_array_equal(retimed(curves).source_index_N, footage().source_index_N)


def test_each_speaker_has_rows_of_their_own(tmp_path: Path) -> None:
    curves = table(tmp_path, "frame,speaker,mouth_opening", ["3,1,0.3", "3,2,0.4", "5,,0.35"])
    first, second = OPENING.of(edited(curves, 0)), OPENING.of(edited(curves, 1))
    assert first[[3, 5]] == pytest.approx([0.3, 0.35], abs=1e-6)
    assert second[3] == pytest.approx(0.4, abs=1e-6)
    assert second[5] == pytest.approx(OPENING.of(computed().expression_NK)[5], abs=1e-6)
    check_speakers(curves, 2)
    with pytest.raises(ConfigError, match=r"row 3, column speaker: there is no speaker 2; allowed: 1 to 1"):
        check_speakers(curves, 1)


def retimed(curves: CurveTable) -> RetimeMap:
    return edited_retime(footage(), placed_rows(curves, timeline(), speaker=0), timeline())


def test_source_frames_and_halfway_pictures_are_taken(tmp_path: Path) -> None:
    names = "frame,source_frame,is_halfway"
    found, before = retimed(table(tmp_path, names, ["3,40,", "4,,1", "7,17,0"])), footage()
    assert (found.source_index_N[3], found.is_halfway_N[3]) == (40, False)  # 3 was half-way at 13
    assert (found.source_index_N[4], found.is_halfway_N[4]) == (14, True)
    assert (found.source_index_N[7], found.is_halfway_N[7]) == (17, False)
    rest = [n for n in range(NUM_FRAMES) if n not in (3, 4, 7)]
    np.testing.assert_array_equal(found.source_index_N[rest], before.source_index_N[rest])
    np.testing.assert_array_equal(found.is_halfway_N[rest], before.is_halfway_N[rest])
    assert found.source_index_N.dtype == np.int32


def test_footage_between_keyframes_runs_evenly_in_half_frames(tmp_path: Path) -> None:
    curves = table(tmp_path, "frame,source_frame", ["10,20", "20,25"], between_rows="interpolate")
    found = retimed(curves)
    position_N = found.source_index_N + 0.5 * found.is_halfway_N
    np.testing.assert_array_equal(position_N[10:21], np.arange(20, 25.1, 0.5))
    np.testing.assert_array_equal(
        position_N[:10], (footage().source_index_N + 0.5 * footage().is_halfway_N)[:10]
    )


def test_source_frames_are_not_dropped_without_a_word(tmp_path: Path) -> None:
    for names in ("time_s,source_frame", "time_s,is_halfway"):
        with pytest.raises(ConfigError, match="need a column frame"):
            retimed(table(tmp_path, names, ["0.2,1"]))
    unmoved = retimed(table(tmp_path, "time_s,mouth_opening,source_frame", ["0.2,0.1,"]))
    np.testing.assert_array_equal(unmoved.source_index_N, footage().source_index_N)


def test_source_frames_must_be_in_the_video(tmp_path: Path) -> None:
    curves = table(tmp_path, "frame,speaker,source_frame", ["0,1,49", "1,1,50", "1,2,4"])
    with pytest.raises(ConfigError) as caught:
        check_sources(curves, NUM_SOURCE)
    assert "row 3, column source_frame: 50 is none; allowed: 0 to 49" in caught.value.message
    assert "row 4, column source_frame: the footage is all speakers'" in caught.value.message
    assert "row 2" not in caught.value.message


@pytest.mark.parametrize(
    ("names", "rows", "facts", "told"),
    [
        ("frame,mouth_opening", ["30,0.1"], {}, "row 2, column frame: 30 is behind .* allowed: 0 to 29"),
        ("frame,mouth_opening", ["4,0.1", "4,0.2"], {}, "row 3, column frame: 4 is in row 2 already"),
        ("frame,mouth_opening", [",0.1"], {}, "row 2, column frame: it is empty"),
        ("mouth_opening", ["0.1"], {}, "neither a column frame nor"),
        ("frame,mouth_opening", ["4,0.1"], {"frame_rate": "30"}, "another frame rate"),
        ("frame,mouth_opening", ["4,0.1"], {"frame_rate": "fast"}, "'fast' is no number"),
        ("frame,expression_00", ["4,0.1"], {"face_model": "other"}, "another face model"),
        ("frame,expression_03", ["4,0.1"], {}, "another face model"),
    ],
)
def test_rows_that_do_not_fit_the_dub_are_told(
    tmp_path: Path, names: str, rows: list[str], facts: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        edited(table(tmp_path, names, rows, **facts))


def test_openings_alone_fit_any_face_model(tmp_path: Path) -> None:
    found = edited(table(tmp_path, "frame,mouth_opening,expression_00", ["4,0.3,"], face_model="other"))
    assert OPENING.of(found[4:5])[0] == pytest.approx(0.3, abs=1e-6)


def test_misfits_are_told_in_sentences() -> None:
    present = {"video_sha256": "a", "speech_sha256": "b", "expression_key": "c", "frames": "30"}
    assert misfits(present, present) == []
    assert misfits({}, present) == []
    (other,) = misfits({**present, "video_sha256": "z", "video": "proxy.mp4", "expression_key": "y"}, present)
    assert other == "The curves were exported from another video: proxy.mp4."
    (settings,) = misfits({**present, "expression_key": "z"}, present)
    assert "other settings" in settings
    (count,) = misfits({**present, "frames": "31"}, present)
    assert "31 frames" in count


def test_the_opening_is_that_of_the_model_s_lips() -> None:
    model = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open("face_model"))
    rng = np.random.default_rng(3)
    identity_K = rng.standard_normal(model.num_identity).astype(np.float32)
    expression_NK = rng.standard_normal((4, model.num_expression)).astype(np.float32)
    opening = LipOpening.of_person(model, identity_K)
    shapes = model.vertices_TV3(identity_K, expression_NK)  # this model's vertices are the tracker's
    eyes = np.linalg.norm(np.subtract(*model.vertices_TV3(identity_K, 0 * expression_NK)[0][[33, 263]]))
    gap_N = shapes[:, 14, 1] - shapes[:, 13, 1]
    np.testing.assert_allclose(opening.of(expression_NK), gap_N / eyes, atol=1e-6)
    moved_NK = opening.moved(expression_NK, np.full(4, 0.2))
    np.testing.assert_allclose(opening.of(moved_NK), 0.2, atol=1e-9)
    # The jaw goes along: it is the common way to open a mouth.
    chin = model.vertices_TV3(identity_K, moved_NK.astype(np.float32))[:, 152, 1] - shapes[:, 152, 1]
    assert (chin * (0.2 - opening.of(expression_NK)) > 0).all()
