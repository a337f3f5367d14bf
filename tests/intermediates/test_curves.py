"""Curves of a short dub: written, edited, taken back, and made into a video."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig, dub
from dubber.corrections import corrections
from dubber.curves.table import read_table
from dubber.engine.execute import Run
from dubber.engine.progress import SilentProgress
from dubber.errors import ConfigError, OutputExistsError
from dubber.intermediates.blendshapes import COLUMNS, write_blendshapes
from dubber.intermediates.curves import write_curves
from dubber.pipeline import DubPlan, plan_dub
from dubber.script import of_speakers
from dubber.stages.translate import mouth_openings
from tests.intermediates.conftest import Dub

Edit = Callable[[list[str], list[list[str]]], None]


@pytest.fixture(scope="session")
def exported(finished: Dub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curves") / "curves.csv"
    write_curves(finished.plan, finished.runtime, path, progress=SilentProgress(), is_overwrite=False)
    return path


def with_curves(finished: Dub, curves: Path) -> DubPlan:
    return plan_dub(DubConfig(), finished.clip.path, finished.line, runtime=finished.runtime, curves=curves)


def edited(exported: Path, path: Path, edit: Edit) -> Path:
    """A copy of the table after `edit` was given its columns' names and its rows."""
    rows = list(csv.reader(exported.read_text().splitlines()))
    header = next(number for number, row in enumerate(rows) if row[0] == "frame")
    edit(rows[header], rows[header + 1 :])
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(
            [
                [
                    cell.replace(".", ",") if row is not rows[header] and cell[:1] != "#" else cell
                    for cell in row
                ]
                if number > header
                else row
                for number, row in enumerate(rows)
            ]
        )
    return path


def put(column: str, values: dict[int, str]) -> Edit:
    def edit(names: list[str], rows: list[list[str]]) -> None:
        for frame, value in values.items():
            rows[frame][names.index(column)] = value

    return edit


def test_an_export_says_what_the_dub_does(finished: Dub, exported: Path) -> None:
    run, table = Run(finished.plan.plan, finished.runtime), read_table(exported)
    expression, retime = run.get(finished.plan.expression), run.get(finished.plan.retime)
    np.testing.assert_array_equal(table.cells("frame"), np.arange(len(expression.expression_NK)))
    np.testing.assert_array_equal(table.cells("source_frame"), retime.source_index_N)
    np.testing.assert_array_equal(table.cells("is_halfway"), retime.is_halfway_N)
    np.testing.assert_allclose(table.cells("expression_03"), expression.expression_NK[:, 3], atol=5.1e-5)
    assert table.facts["video"] == finished.clip.path.name
    assert table.facts["expression_key"] == finished.plan.expression.key
    assert {row.split(",")[7] for row in exported.read_text().splitlines()[-3:]} == {"dubbed"}


@pytest.mark.parametrize("name", ["curves.csv", "curves.json"])
def test_an_unedited_export_is_the_very_same_dub(finished: Dub, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_curves(finished.plan, finished.runtime, path, progress=SilentProgress(), is_overwrite=False)
    plan = with_curves(finished, path)
    run = Run(plan.plan, finished.runtime)
    translated = plan.performances[0].translated
    assert translated.key == finished.plan.expression.key
    before, after = run.get(translated), run.get(plan.expression)
    for field in ("expression_NK", "is_silent_N", "is_asked_N"):
        assert getattr(before, field).tobytes() == getattr(after, field).tobytes()
    computed, wanted = run.get(plan.retimed), run.get(plan.retime)
    assert computed.source_index_N.tobytes() == wanted.source_index_N.tobytes()
    assert computed.is_halfway_N.tobytes() == wanted.is_halfway_N.tobytes()
    found = corrections(run, plan)
    assert [each.num_frames for each in found.changed] == [0, 0]
    assert found.warnings == ()


def test_what_edits_change_is_told(finished: Dub, exported: Path, tmp_path: Path) -> None:
    openings = dict.fromkeys(range(10, 15), "0.9")

    def edit(names: list[str], rows: list[list[str]]) -> None:
        put("mouth_opening", openings)(names, rows)
        put("source_frame", {20: "3"})(names, rows)

    plan = with_curves(finished, edited(exported, tmp_path / "edited.csv", edit))
    run = Run(plan.plan, finished.runtime)
    mouth, footage = corrections(run, plan).changed
    assert (mouth.num_frames, mouth.ranges) == (5, ((10, 14),))
    assert "-> 0.900 at frame" in mouth.how_much
    assert (footage.num_frames, footage.ranges) == (1, ((20, 20),))
    assert "-> 3 at frame 20" in footage.how_much
    assert any("5 frames" in warning and "made up" in warning for warning in corrections(run, plan).warnings)
    # All that was computed is there already.
    assert {report.name for report in run.reports if not report.is_hit} == {"edit", "edit_retime"}


def test_curves_of_another_video_are_told(finished: Dub, exported: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.csv"
    foreign.write_text(exported.read_text().replace("# video_sha256,", "# video_sha256,0"))
    plan = with_curves(finished, foreign)
    (warning,) = corrections(Run(plan.plan, finished.runtime), plan).warnings
    assert "another video" in warning


def test_source_frames_beyond_the_video_are_refused(finished: Dub, exported: Path, tmp_path: Path) -> None:
    wrong = edited(exported, tmp_path / "wrong.csv", put("source_frame", {4: "24", 5: "23"}))
    plan = with_curves(finished, wrong)
    with pytest.raises(ConfigError, match=r"A cell is wrong:\n  row \d+, column source_frame: 24 is none"):
        Run(plan.plan, finished.runtime).get(plan.retime)


def test_the_file_s_content_is_part_of_the_key(finished: Dub, exported: Path, tmp_path: Path) -> None:
    other = edited(exported, tmp_path / "edited.csv", put("mouth_opening", {4: "0.5"}))
    plans = [with_curves(finished, path) for path in (exported, other)]
    assert plans[0].expression.key != plans[1].expression.key
    assert plans[0].performances[0].translated.key == plans[1].performances[0].translated.key
    assert finished.plan.rendered.key not in {plan.rendered.key for plan in plans}


def test_an_existing_table_is_not_replaced(finished: Dub, exported: Path) -> None:
    with pytest.raises(OutputExistsError):
        write_curves(finished.plan, finished.runtime, exported, progress=SilentProgress(), is_overwrite=False)


def test_two_speakers_have_rows_in_one_table(finished: Dub, tmp_path: Path) -> None:
    # Planned only: the clip shows one person.
    said = of_speakers({"1": finished.line, "2": finished.line})
    curves = tmp_path / "curves.csv"
    curves.write_text("frame,speaker,mouth_opening\n3,2,0.1\n")
    plan = plan_dub(DubConfig(), finished.clip.path, said, runtime=finished.runtime, curves=curves)
    assert plan.plan.stage_names().count("edit") == 1
    assert plan.plan.stage_names().count("edit:2") == 1
    assert plan.plan.stage_names().count("edit_retime") == 1


def test_blendshapes_have_live_link_face_s_columns(finished: Dub, tmp_path: Path) -> None:
    for name in ("face.csv", "face.json"):
        (path,) = write_blendshapes(
            finished.plan, finished.runtime, tmp_path / name, progress=SilentProgress(), is_overwrite=False
        )
        assert path == tmp_path / name
    rows = list(csv.DictReader((tmp_path / "face.csv").read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert (len(COLUMNS), rows[0]["BlendShapeCount"]) == (63, "61")
    assert [row["Timecode"] for row in rows[24:27]] == [
        "00:00:00:24.000",
        "00:00:01:00.000",
        "00:00:01:01.000",
    ]
    document = json.loads((tmp_path / "face.json").read_text())
    assert document["facts"]["format"] == "dubber blendshapes 1"
    assert [row["JawOpen"] for row in document["rows"]] == [float(row["JawOpen"]) for row in rows]
    run = Run(finished.plan.plan, finished.runtime)
    wanted = read_openings(finished, tmp_path)
    assert np.corrcoef(wanted, [float(row["JawOpen"]) for row in rows])[0, 1] > 0.95
    assert len(rows) == run.get(finished.plan.timeline).num_frames


def read_openings(finished: Dub, folder: Path) -> list[float]:
    path = folder / "openings.csv"
    write_curves(finished.plan, finished.runtime, path, progress=SilentProgress(), is_overwrite=False)
    return read_table(path).cells("mouth_opening").tolist()


@pytest.mark.slow
def test_the_made_mouth_opens_and_shuts_as_edited(finished: Dub, tmp_path: Path) -> None:
    wide, shut = range(8, 16), range(24, 32)
    curves, output = tmp_path / "edited.csv", tmp_path / "out.mp4"
    rows = [*(f"{n},0.2" for n in wide), *(f"{n},0" for n in shut)]
    curves.write_text("\n".join(["frame,mouth_opening", *rows, ""]))
    dub(finished.clip.path, finished.line, output, runtime=finished.runtime, curves=curves)
    again = plan_dub(DubConfig(), output, finished.line, runtime=finished.runtime)
    opening_T = mouth_openings(Run(again.plan, finished.runtime).get(again.track))
    assert opening_T[list(wide)].min() > 0.1
    assert opening_T[list(shut)].max() < 0.03
