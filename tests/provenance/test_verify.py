"""Films are signed, then treated as people treat films; `dubber verify` tells what happened."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("c2pa")

from dubber.errors import MediaError, OutputExistsError
from dubber.media.edits import Edits
from dubber.media.mux import find_ffmpeg, mux, run_ffmpeg
from dubber.media.mux_job import Words
from dubber.output import CONTAINERS, sidecar_of
from dubber.provenance import library, signing, verification
from dubber.provenance.credentials import Credentials, own_credentials, read_credentials
from dubber.provenance.reading import read_manifest
from dubber.provenance.verification import Verdict, verify
from tests.cli.command import dubber
from tests.media.clips import write_clip, write_tone
from tests.provenance.signed import EDITS, sign, write_certificate

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype"
ENCODERS = {"webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "pcm_s16le")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    return write_clip(folder / "talk.mp4", [512 * n for n in range(20)])


@pytest.fixture(scope="module")
def film(source: Path) -> Path:
    """A finished film that says that it was edited, not signed yet."""
    tone = write_tone(source.with_name("tone.wav"), 0.8)
    path = source.with_name("finished.mp4")
    mux(source, tone, path, heard_s=0.8, output_s=0.8, words=Words(edits=EDITS))
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBBER_SIGNER", str(tmp_path_factory.mktemp("signer")))
        made = own_credentials()
    assert made is not None
    return made


@pytest.fixture
def signed(tmp_path: Path, film: Path, source: Path, own: Credentials) -> Path:
    output = tmp_path / "dub.mp4"
    sign(film, output, own, source)
    return output


def flipped(path: Path, output: Path, share: float) -> Path:
    """A copy with one bit of its bytes turned over."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    output.write_bytes(data)
    return output


def ffmpeg(source: Path, output: Path, *arguments: str) -> Path:
    run_ffmpeg(
        [find_ffmpeg(), "-loglevel", "error", "-i", str(source), *arguments, "-c", "copy", str(output)]
    )
    return output


def test_an_untouched_film_is_as_it_was_signed(signed: Path) -> None:
    found = verify(signed)
    assert found.verdict is Verdict.signed and found.is_own and found.edits == (EDITS,)
    manifest = found.manifest
    assert manifest is not None and manifest.generator == "dubber 9.9" and not manifest.is_trusted
    assert [each["action"] for each in manifest.actions] == ["c2pa.opened", "c2pa.edited", "c2pa.dubbed"]
    edited = manifest.actions[1]
    assert edited["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert edited["changes"][0]["region"][0]["time"] == {"type": "npt", "start": "0.500", "end": "1.250"}
    assert manifest.assertion["source"] == {"name": "talk.mp4", "sha256": "5" * 64}
    assert manifest.assertion["weights"] == {"net": "e" * 64}
    (parent,) = manifest.document["ingredients"]
    assert parent["relationship"] == "parentOf" and parent["title"] == "talk.mp4"
    assert "5" * 64 in parent["description"]
    assert "thumbnail" not in json.dumps(manifest.document)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_turned_bit_is_found(signed: Path, tmp_path: Path, share: float) -> None:
    data = signed.read_bytes()
    start = data.index(b"mdat") - 4
    at = start + 8 + share * (int.from_bytes(data[start : start + 4], "big") - 8)
    found = verify(flipped(signed, tmp_path / "x.mp4", at / len(data)))
    assert found.verdict is Verdict.changed and found.manifest is not None
    assert found.manifest.failures == ("assertion.bmffHash.mismatch",)


def test_a_damaged_manifest_is_no_missing_one(signed: Path, tmp_path: Path) -> None:
    data = signed.read_bytes()
    at = data.index(b"dubber.edits") / len(data)
    assert verify(flipped(signed, tmp_path / "x.mp4", at)).verdict is Verdict.changed


def test_other_programs_take_the_signature_and_leave_the_words(signed: Path, tmp_path: Path) -> None:
    for name, arguments in (("copy.mp4", ()), ("copy.mkv", ()), ("cut.mp4", ("-t", "0.3"))):
        found = verify(ffmpeg(signed, tmp_path / name, *arguments))
        assert found.verdict is Verdict.unsigned and found.edits == (EDITS,)
    bare = ffmpeg(signed, tmp_path / "bare.mp4", "-map_metadata", "-1")
    assert verify(bare).verdict is Verdict.nothing


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_signed_within_or_beside(
    tmp_path: Path, source: Path, own: Credentials, container: str
) -> None:
    film, output = tmp_path / f"film.{container}", tmp_path / f"dub.{container}"
    codecs = ENCODERS.get(container, ("copy", "aac"))
    run_ffmpeg([find_ffmpeg(), "-loglevel", "error", "-i", str(source), "-c:v", codecs[0], "-an", str(film)])
    sign(film, output, own, source)
    assert verify(output).verdict is Verdict.signed
    is_embedded = container in library.EMBEDDED
    assert sidecar_of(output).exists() is not is_embedded
    if not is_embedded:
        assert output.read_bytes() == film.read_bytes()
        flipped(output, output, 0.6)
        assert verify(output).verdict is Verdict.changed
        sidecar_of(output).write_bytes(b"nothing")
        assert verify(output).verdict is Verdict.changed


def test_an_authority_that_is_trusted_vouches_for_a_signer(film: Path, source: Path, tmp_path: Path) -> None:
    chain, key, root = write_certificate(tmp_path / "c")
    output = tmp_path / "dub.mp4"
    sign(film, output, read_credentials(chain, key), source)
    for trusted, is_trusted in ((None, False), (root, True)):
        manifest = verify(output, trusted).manifest
        assert manifest is not None and manifest.signer == "Studio Ltd" and manifest.is_trusted is is_trusted
    _, _, other = write_certificate(tmp_path / "other")
    manifest = verify(output, other).manifest
    assert manifest is not None and not manifest.is_trusted


def test_the_same_film_by_the_same_signer_is_left_alone(
    signed: Path, film: Path, source: Path, own: Credentials, tmp_path: Path
) -> None:
    before = signed.read_bytes()
    with pytest.raises(OutputExistsError):
        sign(film, signed, own, source)
    sign(film, signed, own, source, is_overwrite=True)
    assert signed.read_bytes() == before
    chain, key, _ = write_certificate(tmp_path / "c")
    sign(film, signed, read_credentials(chain, key), source, is_overwrite=True)
    assert signed.read_bytes() != before
    flipped(signed, signed, 0.5)
    sign(film, signed, read_credentials(chain, key), source, is_overwrite=True)
    assert verify(signed).verdict is Verdict.signed
    assert [path.name for path in tmp_path.glob(".dubber-*")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
def test_a_name_that_is_no_text_can_be_signed(
    film: Path, source: Path, own: Credentials, tmp_path: Path
) -> None:
    output = tmp_path / os.fsdecode(b"dub\xff.mp4")
    sign(film, output, own, source)
    found = verify(output)
    assert found.verdict is Verdict.signed and found.manifest is not None
    assert found.manifest.document["title"] == "dub?.mp4"


def test_what_the_source_was_signed_with_is_kept(
    signed: Path, film: Path, own: Credentials, tmp_path: Path
) -> None:
    output = tmp_path / "again.mp4"
    sign(film, output, own, signed)
    manifest = read_manifest(output)
    assert manifest is not None and manifest.is_intact
    (parent,) = manifest.document["ingredients"]
    assert parent["active_manifest"] == (read_manifest(signed) or manifest).document["label"]
    broken = flipped(
        signed, tmp_path / "broken.mp4", signed.read_bytes().index(b"dubber.edits") / signed.stat().st_size
    )
    sign(film, tmp_path / "third.mp4", own, broken)
    assert verify(tmp_path / "third.mp4").verdict is Verdict.signed


def test_what_lies_beside_the_source_is_kept(
    film: Path, source: Path, own: Credentials, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once.ts", tmp_path / "twice.mp4"
    sign(ffmpeg(source, tmp_path / "film.ts"), once, own, source)
    first = read_manifest(once)
    assert first is not None
    for is_touched in (False, True):
        sign(film, twice, own, flipped(once, once, 0.6) if is_touched else once)
        manifest = read_manifest(twice)
        assert manifest is not None and manifest.is_intact
        (parent,) = manifest.document["ingredients"]
        assert (parent["title"], parent["format"]) == ("once.ts", "video/mp2t")
        assert parent["active_manifest"] == first.document["label"]
        failures = parent["validation_results"]["activeManifest"]["failure"]
        assert ("assertion.dataHash.mismatch" in [each["code"] for each in failures]) is is_touched
        twice.unlink()
    sidecar_of(once).write_bytes(b"nothing")
    sign(film, twice, own, once)
    assert verify(twice).verdict is Verdict.signed


def test_the_command_ends_with_what_it_found(signed: Path, source: Path, tmp_path: Path) -> None:
    done = dubber("verify", signed, "--json")
    assert done.returncode == 0 and "not changed since" in done.stderr and "0.50 to 1.25 s" in done.stderr
    assert "not who made it" in done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == "signed" and said["edits"][0]["pictures"] == [[0.5, 1.25]]
    done = dubber("verify", flipped(signed, tmp_path / "x.mp4", 0.5))
    assert done.returncode == 11 and "changed since it was signed" in done.stderr
    done = dubber("verify", source)
    assert done.returncode == 0 and "nothing was found" in done.stderr
    (tmp_path / "n.mp4").write_bytes(b"no film")
    assert dubber("verify", tmp_path / "n.mp4").returncode == MediaError.exit_code
    assert dubber("verify", signed, "--trust", source).returncode == 2


def test_a_signed_original_is_not_called_edited(source: Path, own: Credentials, tmp_path: Path) -> None:
    action = {"action": "c2pa.created", "digitalSourceType": f"{IPTC}/digitalCapture"}
    said = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    with (
        library.offline_context() as context,
        library.c2pa_library().Builder(said, context) as builder,
        signing._signer(own) as signer,
        source.open("rb") as read,
        (tmp_path / "camera.mp4").open("w+b") as written,
    ):
        builder.sign(signer, "video/mp4", read, written)
    found = verify(tmp_path / "camera.mp4")
    assert found.verdict is Verdict.signed and not found.edits
    done = dubber("verify", found.path)
    assert "as it was signed" in done.stderr and "edited" not in done.stderr.replace("c2pa.edited", "")


def test_without_the_library_the_words_are_read(
    signed: Path, film: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "is_installed", lambda: False)
    assert verify(signed) == verification.Verification(signed, Verdict.unread, (EDITS,))
    assert verify(film).verdict is Verdict.unsigned
    assert verify(source).verdict is Verdict.nothing


def test_what_a_file_says_does_not_steer_a_terminal(tmp_path: Path, source: Path) -> None:
    evil = Edits(dubber="1\x1b[31m[red]", duration_s=1.0, consent="a\nb")
    mux(
        source,
        write_tone(tmp_path / "t.wav", 0.8),
        tmp_path / "e.mp4",
        heard_s=0.8,
        output_s=0.8,
        words=Words(edits=evil),
    )
    done = dubber("verify", tmp_path / "e.mp4")
    assert "\x1b[31m" not in done.stderr and "1?[31m[red]" in done.stderr and "consent: a?b" in done.stderr
