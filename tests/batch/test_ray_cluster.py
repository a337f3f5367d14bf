"""Before Ray is asked: what it is told, and whether there is somebody at the address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dubber.batch.ray_cluster import LOCAL, Cluster, _authentication, connected
from dubber.errors import ConfigError


def test_a_cluster_is_shown_the_token_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    head = Cluster(address="head:6379")
    assert _authentication(head) == {}
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("token")
    assert _authentication(head) == {"RAY_AUTH_MODE": "token"}
    assert _authentication(Cluster(address=LOCAL)) == {}


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_answers_is_refused_at_once(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself tries for minutes."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was asked"))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else will
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="refused") as caught, connected(Cluster(address=address)):
            pass
    assert caught.value.where == f"--cluster {address}"
