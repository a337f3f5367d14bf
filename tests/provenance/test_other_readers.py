"""Readers of C2PA that share no code with the one that signs: what they make of signed films."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("c2pa")

from dubber.provenance.credentials import Credentials, own_credentials
from tests.media.clips import write_clip
from tests.provenance.signed import EDITS, sign

LABELS = {"c2pa.actions.v2", "c2pa.ingredient.v3", "dubber.edits", "c2pa.hash.bmff.v3"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    monkeypatch.setenv("DUBBER_SIGNER", str(tmp_path / "signer"))
    made = own_credentials()
    assert made is not None
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "talk.mp4", [512 * n for n in range(20)])


def test_encypher_finds_films_whole_changed_and_dubbed_twice(
    tmp_path: Path, source: Path, own: Credentials
) -> None:
    encypher = pytest.importorskip("encypher_c2pa")
    once, twice, changed = (tmp_path / f"{name}.mp4" for name in ("once", "twice", "changed"))
    sign(source, once, own, source)
    sign(source, twice, own, once)
    data = bytearray(once.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    changed.write_bytes(data)

    found = {path.stem: encypher.verify(path) for path in (once, twice, changed, source)}
    told = {name: (each["present"], each["integrity"]) for name, each in found.items()}
    assert told == {
        "once": (True, "valid"),
        "twice": (True, "valid"),
        "changed": (True, "invalid"),
        "talk": (False, "invalid"),
    }
    assert [each["code"] for each in found["once"]["validation_results"]["failure"]] == [
        "signingCredential.untrusted"  # it is this computer's own
    ]
    assert len(found["twice"]["manifest_report"]["manifests"]) == 2


def test_encypher_finds_a_signature_beside_a_film(tmp_path: Path, source: Path, own: Credentials) -> None:
    encypher = pytest.importorskip("encypher_c2pa")
    output = tmp_path / "dub.ts"
    sign(source, output, own, source)
    film, manifest = output.read_bytes(), output.with_name("dub.ts.c2pa").read_bytes()
    for data, is_whole in ((film, True), (film + b"more", False)):
        report = json.loads(encypher.verify_detached_bytes(data, manifest, "video/x-msvideo", "{}"))
        assert (report["hard_binding"] == "match") is is_whole


def test_exiftool_shows_what_was_done(tmp_path: Path, source: Path, own: Credentials) -> None:
    exiftool = _exiftool()
    output = tmp_path / "dub.mp4"
    sign(source, output, own, source)
    command = [exiftool, "-G3", "-a", "-j", "-struct", "-JUMBF:all", str(output)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (told,) = json.loads(done.stdout)
    assert set(_values(told, "JUMDLabel")) >= LABELS
    (actions,) = _values(told, "Actions")
    opened, edited, dubbed = actions
    assert [each["action"] for each in actions] == ["c2pa.opened", "c2pa.edited", "c2pa.dubbed"]
    assert "ingredients" in opened["parameters"]
    assert edited["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    (region,) = edited["changes"][0]["region"]
    assert (region["time"]["start"], region["time"]["end"]) == EDITS.pictures[0]
    assert dubbed["softwareAgent"] == {"name": "dubber", "version": 9.9}
    (created,) = _values(told, "Created_assertions")
    assert len(created) == len(LABELS) and not _values(told, "Gathered_assertions")
    assert any("5" * 64 in text for text in _values(told, "Description"))


def _exiftool() -> str:
    """Where it is; the test is skipped where it is not, or does not read C2PA from films yet."""
    path = shutil.which("exiftool")
    if path is None:
        pytest.skip("exiftool is not installed")
    version = subprocess.run([path, "-ver"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.partition(".")[0]) < 13:
        pytest.skip(f"exiftool {version} does not read it from films")
    return path


def _values(told: dict[str, Any], name: str) -> list[Any]:
    """What is told under a name in any part of a manifest."""
    return [value for key, value in told.items() if key.rpartition(":")[2] == name]
