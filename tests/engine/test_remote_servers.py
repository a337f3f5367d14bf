"""The shared cache on servers of this machine: S3, and SFTP with both of its libraries.

Needs s3fs, moto[server], asyncssh, sshfs and paramiko, which `make install` leaves out; docs/scale.md has the
versions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dubber.engine import remote_system
from dubber.engine.shared_store import SharedStore
from dubber.engine.store import Store
from dubber.errors import SharedStoreError

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.slow

KEYS = [f"{number:02x}" * 32 for number in range(8)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server that speaks S3, as the variables of AWS say."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    boto3 = pytest.importorskip("boto3")
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """What the server of SFTP runs on."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture(scope="module")
def sftp(loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks SFTP and has no shell."""
    asyncssh = pytest.importorskip("asyncssh")
    folder = tmp_path_factory.mktemp("sftp")

    class Door(asyncssh.SSHServer):  # type: ignore[misc, name-defined]
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return password == "s3cret"

    async def listen() -> Any:
        return await asyncssh.create_server(
            Door,
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder)),
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    yield f"sftp://ann:s3cret@127.0.0.1:{server.get_port()}"
    loop.call_soon_threadsafe(server.close)


@pytest.fixture(params=["s3", "sshfs", "paramiko"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    if request.param == "sshfs":
        system = pytest.importorskip("sshfs").SSHFileSystem
    else:
        pytest.importorskip("paramiko")
        from fsspec.implementations import sftp

        system = sftp.SFTPFileSystem
    fsspec.register_implementation("sftp", system, clobber=True)
    return f"{request.getfixturevalue('sftp')}/{tmp_path.name}"


@pytest.fixture
def full(tmp_path: Path) -> Store:
    store = Store(tmp_path / "full")
    for key in KEYS:
        with store.writing(key, {"stage": "toy"}) as writer:
            (writer.folder / "own").write_bytes(key.encode() * 1000)
            (writer.folder / "common").write_bytes(b"same" * 1000)
    return store


def test_entries_parcels_and_pruning(url: str, full: Store, tmp_path: Path) -> None:
    shared, there = SharedStore(url), Store(tmp_path / "there")
    shared.check()
    assert [shared.push(full, key) for key in KEYS[:3]] == [68000, 64000, 64000]
    assert shared.push(full, KEYS[0]) == 0
    assert shared.pull(there, KEYS[0]) == 68000
    assert {entry.key for entry in shared.entries()} == set(KEYS[:3])

    film = tmp_path / "film"
    film.write_bytes(b"film")
    sha256 = shared.send(film, "tag")
    shared.receive("tag", sha256, tmp_path / "arrived")
    shared.discard("tag")
    assert (tmp_path / "arrived").read_bytes() == b"film"

    assert len(shared.prune(140_000)) == 1
    assert len(shared.entries()) == 2
    shared.prune(0)
    assert not shared._folder.files("objects")
    assert not shared._folder.files("parts")
    assert not shared._folder.files("parcels")


def test_a_damaged_file_is_put_right(url: str, full: Store, tmp_path: Path) -> None:
    shared, there = SharedStore(url), Store(tmp_path / "there")
    shared.push(full, KEYS[0])
    damaged, lost = shared._folder.files("objects")
    shared._folder.write(damaged, b"another")
    shared._folder.remove(lost)
    assert shared.pull(there, KEYS[0]) == 0
    assert not shared.has(KEYS[0])
    assert shared.push(full, KEYS[0]) > 0
    assert shared.pull(there, KEYS[0]) == 68000


def test_many_at_once(url: str, full: Store, tmp_path: Path) -> None:
    """Each with a connection of its own, as nodes have."""

    def work(number: int) -> int:
        shared, store = SharedStore(url), Store(tmp_path / f"there {number}")
        for key in KEYS[number:] + KEYS[:number]:
            shared.push(full, key)
            shared.pull(store, key)
        return sum((store.entry_dir(key) / "own").read_bytes() == key.encode() * 1000 for key in KEYS)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [len(KEYS)] * 4
    assert not SharedStore(url)._folder.files("parts")


def test_one_connection_for_many_threads(url: str, full: Store, tmp_path: Path) -> None:
    shared, store = SharedStore(url), Store(tmp_path / "there")
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda key: shared.push(full, key), KEYS)) >= 8 * 64000
        received = list(threads.map(lambda key: shared.pull(store, key), KEYS))
    assert received == [68000] * len(KEYS)


def test_a_server_that_falls_silent_is_given_up(
    url: str, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("s3"):
        pytest.skip("s3fs has limits of its own")
    monkeypatch.setattr(remote_system, "_SILENCE_S", 0.6)
    monkeypatch.setattr(remote_system, "_WAITS_S", ())
    shared = SharedStore(url)
    shared.check()
    loop.call_soon_threadsafe(time.sleep, 8.0)
    began_s = time.monotonic()
    with pytest.raises(SharedStoreError, match="cannot be read"):
        shared.has(KEYS[0])
    assert time.monotonic() - began_s < 6.0


def test_on_s3_nothing_is_copied_and_no_bucket_is_made(bucket: str, full: Store) -> None:
    shared = SharedStore(f"{bucket}/direct")
    system = shared._folder._system._opened().fs
    asked: list[str] = []
    real = system._call_s3

    async def listening(method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return await real(method, *args, **kwargs)

    system._call_s3 = listening
    shared.push(full, KEYS[0])
    assert asked.count("put_object") == 3
    assert not {"copy_object", "delete_object", "create_bucket", "head_bucket"} & set(asked)
    with pytest.raises(SharedStoreError, match="bucket does not exist"):
        SharedStore("s3://never-made/x").check()
    assert "never-made" not in system.ls("")
