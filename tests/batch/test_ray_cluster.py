"""What Ray is told before it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from dubber.batch.ray_cluster import LOCAL, Cluster, _authentication


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
