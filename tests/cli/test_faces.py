"""`dubber faces`: how it looks is how a run will."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dubber.cli.app import app
from dubber.config import DubConfig
from dubber.errors import NoFaceError
from dubber.intermediates import faces


def test_faces_are_looked_for_as_a_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DubConfig] = []

    def find(_: Path, config: DubConfig, *__: object) -> faces.FacesFound:
        asked.append(config)
        raise NoFaceError("Enough was seen.")

    monkeypatch.setattr(faces, "find_people", find)
    options = ["--tracker", "insightface", "--deinterlace", "--cache", str(tmp_path)]
    result = CliRunner().invoke(app, ["faces", "talk.mp4", *options])
    assert isinstance(result.exception, NoFaceError)
    assert (asked[0].people.backend, asked[0].demux.deinterlace) == ("insightface", True)
    assert DubConfig().demux.deinterlace is False
