"""ONNX files are data: nothing in one is executed, and it reads no other file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dubber.errors import WeightsError
from dubber.tracking import onnx
from dubber.tracking.onnx import open_network
from tests.tracking.networks import write_adding_network

pytest.importorskip("onnxruntime")


def refusal(path: Path) -> WeightsError:
    with pytest.raises(WeightsError) as raised:
        open_network(path, "test network", "Take another.")
    assert raised.value.where == str(path)
    return raised.value


def test_a_network_computes(tmp_path: Path) -> None:
    session = open_network(write_adding_network(tmp_path / "add.onnx"), "test network", "")
    numbers = np.arange(4, dtype=np.float32)[None]
    np.testing.assert_array_equal(session.run(None, {"x": numbers})[0], numbers)


def test_operators_of_others_are_refused(tmp_path: Path) -> None:
    path = write_adding_network(tmp_path / "add.onnx", operator="Run", domain="somebody.ops")
    assert "no test network" in refusal(path).message


def test_weights_in_other_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.chdir(models)
    for secret in (tmp_path / "secret", models / "secret"):
        secret.write_bytes(b"0123456789abcdef")
    for place in ("secret", "../secret", str(tmp_path / "secret")):
        refusal(write_adding_network(models / "add.onnx", stored_in=place))


def test_files_that_are_missing_too_large_or_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no test network" in refusal(tmp_path / "absent.onnx").message
    text = tmp_path / "text.onnx"
    text.write_text("no network")
    assert "no test network" in refusal(text).message
    monkeypatch.setattr(onnx, "MAX_BYTES", 4)
    assert "too large" in refusal(text).message


def test_without_onnxruntime_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert "dubber[insightface]" in refusal(tmp_path / "a.onnx").advice
