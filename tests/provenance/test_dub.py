"""A whole dub: what was asked for is what its file says."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("c2pa")

from dubber import DubConfig, dub, make_runtime
from dubber.engine.execute import Run
from dubber.engine.key import file_sha256
from dubber.engine.progress import SilentProgress
from dubber.errors import ConfigError, OutputExistsError, StageError, ToolMissingError
from dubber.evaluation.coverage import coverage
from dubber.jobs import Extras, Job, do_job
from dubber.media.mux import find_ffmpeg, run_ffmpeg
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.pipeline import plan_dub
from dubber.provenance import Provenance, library, signing
from dubber.provenance.verification import Verdict, verify
from dubber.script import in_range
from tests.cli.command import dubber
from tests.provenance.signed import write_certificate
from tests.synth import make_clip, talking_sound, write_wav

PLAIN = DubConfig().with_overrides({"render.renderer": "copy", "translate.translator": "neutral"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, a line, a cache that all tests share."""
    folder = tmp_path_factory.mktemp("dubs")
    make_clip(folder / "talk.mp4", num_frames=30)
    write_wav(folder / "line.wav", talking_sound(0.8, seed=3))
    return folder


@pytest.fixture(autouse=True)
def _own_certificate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBBER_SIGNER", str(folder / "signer"))


def options(folder: Path) -> tuple[str | Path, ...]:
    methods = ("--renderer", "copy", "--translator", "neutral")
    return folder / "talk.mp4", folder / "line.wav", "--cache", folder / "cache", *methods


def test_a_range_is_what_the_file_says_was_changed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "dub.mp4"
    said_of_it = {"mark.is_on": True, "mark.text": "Dubbed", "remux.consent": "Ann"}
    config = PLAIN.with_overrides(said_of_it)
    said = in_range(folder / "line.wav", 0.4, 0.8)
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu")
    beside = tmp_path / "beside.mp4"
    job = Job(folder / "talk.mp4", said, output, config, Extras(side_by_side=beside))
    result = do_job(job, runtime=runtime)
    (edits,) = verify(output).edits
    of_dub_alone = {"copied": (), "encoded": (), "marked": ()}  # words stand in every picture of a comparison
    assert verify(beside).edits == (edits.model_copy(update=of_dub_alone),)
    assert result.labels.is_in_metadata and result.labels.manifest == "embedded"
    assert (result.labels.mark, result.labels.consent) == ("Dubbed", "Ann")
    found = verify(output)
    assert found.verdict is Verdict.signed and found.manifest is not None
    (edits,) = found.edits
    assert edits.sound == edits.pictures == edits.marked == ((0.4, 0.8),)
    assert "written into the pictures: Dubbed, 0.40 to 0.80 s" in dubber("verify", output).stderr
    changes = found.manifest.actions[-1]["changes"]
    assert changes[0]["region"][0]["time"] == {"type": "npt", "start": "0.400", "end": "0.800"}
    assert (edits.duration_s, edits.mark, edits.consent) == (1.2, "Dubbed", "Ann")
    signed = found.manifest.assertion
    assert signed["source"] == {"name": "talk.mp4", "sha256": file_sha256(folder / "talk.mp4")}
    assert signed["speech"] == [{"name": "line.wav", "sha256": file_sha256(folder / "line.wav")}]
    assert set(signed["weights"]) == {"face_model"}
    assert [each["action"] for each in found.manifest.actions][1:] == [
        "c2pa.edited",
        "c2pa.dubbed",
        "c2pa.edited",
    ]


def test_footage_that_the_user_moves_is_shown_and_told_where_only_a_part_is_dubbed(
    folder: Path, tmp_path: Path
) -> None:
    source, output, curves = tmp_path / "talk.mp4", tmp_path / "dub.mp4", tmp_path / "moved.csv"
    keyframes = ("-c:v", "libx264", "-g", "5", "-bf", "0", "-c:a", "copy")
    run_ffmpeg([find_ffmpeg(), "-loglevel", "error", "-i", str(folder / "talk.mp4"), *keyframes, str(source)])
    curves.write_text("frame,source_frame\n3,25\n")
    said = in_range(folder / "line.wav", 0.8, 1.0)
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu")
    result = dub(source, said, output, config=PLAIN, runtime=runtime, curves=curves)
    before, after = (list(read_frames(path, probe(path))) for path in (source, output))
    assert result.num_copied_frames >= 15
    difference = [np.abs(after[3].y.astype(int) - before[n].y).mean() for n in (3, 25)]
    assert difference[1] < 1.5 < difference[0]
    (edits,) = verify(output).edits
    assert (edits.moved, edits.pictures) == (((0.12, 0.16),), ((0.8, 1.0),))
    told = {"copied": edits.copied, "encoded again": edits.encoded, "changed": edits.moved + edits.pictures}
    is_same = [np.array_equal(a.y, b.y) for a, b in zip(before, after, strict=True)]
    every = sorted((start, end, name) for name, ranges in told.items() for start, end in ranges)
    assert [end for _, end, _ in every] == [start for start, _, _ in every[1:]] + [1.2]
    assert {name for *_, name in every} == set(told) and sum(is_same) == result.num_copied_frames
    assert all(
        is_same[round(25 * a) : round(25 * b)] == [True] * round(25 * (b - a)) for a, b in edits.copied
    )
    plan = plan_dub(PLAIN, source, said, runtime=runtime, curves=curves)
    bar = coverage(Run(plan.plan, runtime, SilentProgress()), plan, speaker=0)
    drawn = [(round(each.start_s, 3), round(each.end_s, 3), each.state) for each in bar]
    assert tuple((start, end) for start, end, state in drawn if state == "copied") == edits.copied
    assert sum(end - start for start, end, state in drawn if state == "kept") == pytest.approx(
        sum(end - start for start, end in edits.encoded + edits.moved)
    )
    words = dubber("verify", output).stderr
    assert "copied as they were:" in words and "encoded again, not changed:" in words


def test_all_of_it_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    chain, key, root = write_certificate(tmp_path / "c")
    document, output = tmp_path / "agreed.txt", tmp_path / "dub.mkv"
    document.write_text("I agree.")
    asked = (*options(folder), "--certificate", chain, "--private-key", key, "--consent", document, "--label")
    done = dubber("run", *asked, "-o", output, "--json")
    assert done.returncode == 0, done.stderr
    labels = json.loads(done.stdout)["labels"]
    assert (labels["manifest"], labels["signer"], labels["mark"]) == ("sidecar", "Studio Ltd", "AI-dubbed")
    said = json.loads(dubber("verify", output, "--trust", root, "--json").stdout)
    assert said["verdict"] == "signed" and said["manifest"]["is_signer_trusted"]
    assert said["edits"][0]["consent"] == f"agreed.txt (sha256 {file_sha256(document)})"


def test_labels_are_left_out_when_that_is_said(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "dub.mkv"
    assert dubber("run", *options(folder), "-o", output).returncode == 0
    assert (tmp_path / "dub.mkv.c2pa").exists()
    unlabelled = ("--overwrite", "--unlabelled", "--consent", "Ann", "--json")
    done = dubber("run", *options(folder), "-o", output, *unlabelled)
    assert "says nowhere that it was edited" in done.stderr
    labels = json.loads(done.stdout)["labels"]
    assert labels["is_in_metadata"] is False and labels["consent"] == "Ann"
    assert verify(output).verdict is Verdict.nothing and not (tmp_path / "dub.mkv.c2pa").exists()
    assert b"dubber" not in output.read_bytes()


def test_a_dub_is_not_lost_where_its_own_certificate_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StageError("The output could not be signed: no")

    monkeypatch.setattr(signing.SignedCopy, "write", fail)
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu")
    inputs = folder / "talk.mp4", folder / "line.wav"
    result = dub(*inputs, tmp_path / "dub.mp4", config=PLAIN, runtime=runtime)
    assert result.labels.is_in_metadata and not result.labels.manifest and not result.labels.signer
    assert "in its metadata alone" in caplog.text
    assert verify(tmp_path / "dub.mp4").verdict is Verdict.unsigned
    chain, key, _ = write_certificate(tmp_path / "c")
    asked = Provenance(chain, key)
    with pytest.raises(StageError):
        dub(*inputs, tmp_path / "other.mp4", config=PLAIN, runtime=runtime, provenance=asked)
    assert not (tmp_path / "other.mp4").exists()


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_stranger_s_file_beside_the_output_stays(folder: Path, tmp_path: Path, container: str) -> None:
    beside = tmp_path / f"dub.{container}.c2pa"
    beside.write_text("mine")
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu")
    inputs = folder / "talk.mp4", folder / "line.wav", tmp_path / f"dub.{container}"
    with pytest.raises(OutputExistsError, match="dubber did not write"):
        dub(*inputs, config=PLAIN, runtime=runtime, is_overwrite=True)
    assert beside.read_text() == "mine"


def test_what_cannot_be_labelled_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    chain, key, _ = write_certificate(tmp_path / "c")
    for asked, reason in (
        (("--certificate", chain), "go together"),
        (("--certificate", chain, "--private-key", key, "--unlabelled"), "not signed"),
        (("--label-text", "漢"), "漢"),
    ):
        done = dubber("run", *options(folder), "-o", tmp_path / "o.mp4", *asked)
        assert done.returncode == ConfigError.exit_code and reason in done.stderr
    assert not (tmp_path / "o.mp4").exists()


def test_without_the_library_there_still_is_a_label(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    for module in ("signing", "verification"):
        monkeypatch.setattr(f"dubber.provenance.{module}.is_installed", lambda: False)
    caplog.set_level(logging.INFO, "dubber")
    output, runtime = tmp_path / "dub.mp4", make_runtime(cache_dir=folder / "cache", device="cpu")
    inputs = folder / "talk.mp4", folder / "line.wav", output
    result = dub(*inputs, config=PLAIN, runtime=runtime)
    assert result.labels.is_in_metadata and not result.labels.manifest
    assert "pip install 'dubber[c2pa]'" in caplog.text
    found = verify(output)
    assert found.verdict is Verdict.unsigned and found.edits[0].pictures
    chain, key, _ = write_certificate(tmp_path / "c")
    with pytest.raises(ToolMissingError, match=r"dubber\[c2pa\]"):
        dub(*inputs, config=PLAIN, runtime=runtime, provenance=Provenance(chain, key), is_overwrite=True)
    assert library.EMBEDDED and output.exists()
    with pytest.raises(OutputExistsError):
        dub(*inputs, config=PLAIN, runtime=runtime)
