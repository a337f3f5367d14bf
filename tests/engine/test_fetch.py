"""Models of others: fetched from a server of the test's own, verified, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dubber.engine.fetch import fetch, import_file
from dubber.engine.user_models import ModelEntry, ModelFile, ModelsFolder, catalogue, catalogue_entry
from dubber.errors import ConfigError, OutputFolderError, WeightsError

WEIGHTS = bytes(range(256)) * 4096
OTHER = b"something else" * 100


@dataclass
class Server:
    """What a server answers, and what it was asked for.

    Attributes:
        body: The file.
        sent_bytes: So much is sent before the line is cut; None: all.
        knows_ranges: Whether it can go on from somewhere.
        redirect: Where to it sends everybody.
        ranges: The Range headers it got, "" for none.
    """

    port: int = 0
    body: bytes = b""
    sent_bytes: int | None = None
    knows_ranges: bool = True
    redirect: str = ""
    ranges: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/model.zip"


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.ranges.append(asked)
            if state.redirect:
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            start = int(asked[6:-1]) if asked and state.knows_ranges else 0
            body = state.body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.body) - 1}/{len(state.body)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.sent_bytes])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.port = http.server_address[1]
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def entry_of(url: str, body: bytes, files: dict[str, bytes], *, is_archive: bool = True) -> ModelEntry:
    return ModelEntry(
        url=url,
        is_archive=is_archive,
        num_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        description="a test",
        licence="none",
        licence_text="",
        licence_url="",
        is_commercial_use_allowed=True,
        files=tuple(
            ModelFile(name=name, num_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_of_an_archive_only_the_listed_files_are_kept(server: Server, tmp_path: Path) -> None:
    server.body = zipped({"det.onnx": WEIGHTS, "genderage.onnx": OTHER})
    heard: list[int] = []
    entry = entry_of(server.url, server.body, {"det.onnx": WEIGHTS})
    made = fetch(ModelsFolder(tmp_path), "pack", entry, heard.append, schemes=("http",))
    assert made == tmp_path / "pack"
    assert names(made) == ["LICENCE.txt", "det.onnx"] and (made / "det.onnx").read_bytes() == WEIGHTS
    assert names(tmp_path) == ["pack"]
    assert heard[-1] == len(server.body)


def test_a_single_file_is_kept_as_it_is(server: Server, tmp_path: Path) -> None:
    server.body = WEIGHTS
    entry = entry_of(server.url, WEIGHTS, {"face.task": WEIGHTS}, is_archive=False)
    fetch(ModelsFolder(tmp_path), "bundle", entry, schemes=("http",))
    assert (tmp_path / "bundle" / "face.task").read_bytes() == WEIGHTS


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_cut_short_goes_on(server: Server, tmp_path: Path, knows_ranges: bool) -> None:
    server.body, server.knows_ranges = os.urandom(600_000), knows_ranges
    entry = entry_of(server.url, server.body, {"a.task": server.body}, is_archive=False)
    folder = ModelsFolder(tmp_path)
    server.sent_bytes = 400_000
    with pytest.raises(WeightsError) as raised:
        fetch(folder, "a", entry, schemes=("http",))
    assert "goes on from there" in raised.value.advice
    assert not folder.folder("a").exists()
    have = (tmp_path / "a.part").stat().st_size
    assert 0 < have <= 400_000
    server.sent_bytes = None
    fetch(folder, "a", entry, schemes=("http",))
    assert server.ranges == ["", f"bytes={have}-"]
    assert (tmp_path / "a" / "a.task").read_bytes() == server.body
    assert names(tmp_path) == ["a"]


def test_another_file_than_the_catalogue_names_is_thrown_away(server: Server, tmp_path: Path) -> None:
    entry = entry_of(server.url, WEIGHTS, {"a.task": WEIGHTS}, is_archive=False)
    server.body = WEIGHTS[:-1] + b"!"
    with pytest.raises(WeightsError, match="sha256"):
        fetch(ModelsFolder(tmp_path), "a", entry, schemes=("http",))
    assert names(tmp_path) == []
    server.body = WEIGHTS + b"and more"
    with pytest.raises(WeightsError, match="longer"):
        fetch(ModelsFolder(tmp_path), "a", entry, schemes=("http",))
    assert names(tmp_path) == []


@pytest.mark.parametrize("member", ["../det.onnx", "/etc/det.onnx", "a/../../det.onnx", "..\\det.onnx"])
def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path: Path, member: str) -> None:
    body = zipped({"det.onnx": WEIGHTS, member: OTHER})
    source, models = tmp_path / "pack.zip", ModelsFolder(tmp_path / "deep" / "models")
    source.write_bytes(body)
    with pytest.raises(WeightsError, match="leaves its folder"):
        import_file(models, "pack", entry_of("https://x.invalid", body, {"det.onnx": WEIGHTS}), source)
    assert names(models.root) == [] and names(tmp_path) == ["deep", "pack.zip"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"other.onnx": WEIGHTS}, "lacks"),
        ({"det.onnx": OTHER}, "instead of"),
        ({"det.onnx": WEIGHTS * 64}, "instead of"),
        ({}, "lacks"),
    ],
)
def test_an_archive_with_other_contents_is_refused(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    body = zipped(members)
    source, models = tmp_path / "pack.zip", ModelsFolder(tmp_path / "models")
    source.write_bytes(body)
    with pytest.raises(WeightsError, match=message):
        import_file(models, "pack", entry_of("https://x.invalid", body, {"det.onnx": WEIGHTS}), source)
    assert names(models.root) == []


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    body = bytearray(zipped({"det.onnx": os.urandom(50_000)}))
    body[1000:1100] = bytes(100)
    source, models = tmp_path / "pack.zip", ModelsFolder(tmp_path / "models")
    for data in (bytes(body), b"no archive"):
        source.write_bytes(data)
        with pytest.raises(WeightsError):
            import_file(models, "pack", entry_of("https://x.invalid", data, {"det.onnx": OTHER}), source)
        assert names(models.root) == []


def test_nothing_but_https_is_asked(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHTS)
    models = ModelsFolder(tmp_path / "models")
    files = {"a.task": WEIGHTS}
    for url in (server.url, secret.as_uri(), "ftp://127.0.0.1/a"):
        with pytest.raises(WeightsError, match="Only https"):
            fetch(models, "a", entry_of(url, WEIGHTS, files, is_archive=False))
    assert server.ranges == []
    for server.redirect, message in (
        (secret.as_uri(), "not allowed"),
        ("ftp://127.0.0.1/a", "Only http is"),
        ("https://127.0.0.1:9/a", "Only http is"),
    ):
        with pytest.raises(WeightsError, match=message):
            fetch(models, "a", entry_of(server.url, WEIGHTS, files, is_archive=False), schemes=("http",))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    entry = entry_of("http://127.0.0.1:9/a", WEIGHTS, {"a.task": WEIGHTS}, is_archive=False)
    with pytest.raises(WeightsError, match="failed") as raised:
        fetch(ModelsFolder(tmp_path), "a", entry, schemes=("http",))
    assert "--from" in raised.value.advice


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    source = tmp_path / "a.task"
    source.write_bytes(WEIGHTS)
    entry = entry_of("https://x.invalid", WEIGHTS, {"a.task": WEIGHTS}, is_archive=False)
    with pytest.raises(OutputFolderError, match="cannot be written"):
        import_file(ModelsFolder(tmp_path / "file" / "models"), "a", entry, source)


def test_the_catalogue_is_whole() -> None:
    for name, entry in catalogue().items():
        assert entry.url.startswith("https://") and entry.licence_url.startswith("https://"), name
        assert entry.licence and entry.licence_text, name
        assert entry.is_archive or len(entry.files) == 1
        if name.startswith("insightface"):
            assert not entry.is_commercial_use_allowed and "non-commercial" in entry.licence_text
    with pytest.raises(ConfigError, match="no model 'x'"):
        catalogue_entry("x")
