"""What is handed out: a whole wheel, an sdist that makes the same wheel, and an installation that dubs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dubber import __version__
from tests.conftest import REPOSITORY
from tests.synth import make_clip, talking_sound, write_wav

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow

LARGEST_WHEEL_BYTES = 20_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    _build(REPOSITORY, folder, "--wheel", "--sdist")
    return folder


def _build(source: Path, folder: Path, *kinds: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *kinds, "-o", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_wheel_is_whole(made: Path) -> None:
    """Code, types, weights, licences, and the files that code reads; no tests."""
    wheel = _only(made, "*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    read_by_code = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "dubber").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".pyo")
    }
    weights = {f"dubber/_weights/{path.name}" for path in (REPOSITORY / "weights").iterdir()}
    assert "dubber/py.typed" in read_by_code
    assert names >= read_by_code | weights
    assert {name.partition("/")[0] for name in names} == {"dubber", f"dubber-{__version__}.dist-info"}
    licences = {name.partition("/licenses/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "weights/MODEL_CARD.md"}
    assert wheel.stat().st_size < LARGEST_WHEEL_BYTES


def test_the_sdist_makes_the_same_wheel(made: Path, tmp_path: Path) -> None:
    with tarfile.open(_only(made, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = _only(tmp_path, "dubber-*")
    assert (source / "tests" / "conftest.py").is_file()
    assert (source / "constraints.txt").is_file()
    _build(source, tmp_path / "again", "--wheel")
    assert _only(tmp_path / "again", "*.whl").read_bytes() == _only(made, "*.whl").read_bytes()


def test_what_is_installed_dubs_without_source_and_network(made: Path, tmp_path: Path) -> None:
    """The libraries are this environment's; the weights, and dubber, are the wheel's."""
    unshare = shutil.which("unshare")
    offline = [unshare, "-rn"] if unshare else []
    if offline and subprocess.run([*offline, "true"], check=False, capture_output=True).returncode:
        offline = []
    site = tmp_path / "site"
    with zipfile.ZipFile(_only(made, "*.whl")) as wheel:
        wheel.extractall(site)
    make_clip(tmp_path / "talk.mp4", num_frames=16, size=(240, 240))
    write_wav(tmp_path / "line.wav", talking_sound(16 / 25, seed=3))
    environment = {
        "PYTHONPATH": str(site),
        "DUBBER_CACHE": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    where = [sys.executable, "-P", "-c", "import dubber; print(dubber.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd="/", env=environment)
    assert Path(found.stdout.strip()) == site / "dubber" / "__init__.py"
    command = [
        sys.executable,
        "-P",
        "-m",
        "dubber",
        "run",
        str(tmp_path / "talk.mp4"),
        str(tmp_path / "line.wav"),
    ]
    done = subprocess.run(
        [*offline, *command, "-o", str(tmp_path / "dubbed.mp4")],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dubbed.mp4").stat().st_size > 1000


def test_the_container_copies_what_is_there() -> None:
    """And what it copies is not kept from it."""
    lines = (REPOSITORY / "Containerfile").read_text(encoding="utf-8").splitlines()
    told = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in {name for names in told for name in names}:
        assert (REPOSITORY / name).exists(), name
        assert f"!{name}" in ignored, name
