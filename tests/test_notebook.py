"""The notebook runs from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dubber.media.probe import probe
from tests.synth import EXAMPLES

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = EXAMPLES / "dubber_tour.ipynb"


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(
        not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell
    )


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside copies of the files that it names."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name in ("speaker.mp4", "line.wav"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.setenv("DUBBER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
    assert probe(tmp_path / "out" / "tour.mp4").num_frames > 150
    nbformat.write(notebook, tmp_path / "run.ipynb")
