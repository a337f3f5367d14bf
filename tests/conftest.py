"""Shared fixtures: real clips where they are present, a private cache, a runtime."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dubber.engine.device import Device
from dubber.engine.stage import Runtime, StageContext
from dubber.engine.weights import WeightsFolder, default_weights_dir

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_CLIPS = Path(os.environ.get("DUBBER_TEST_CLIPS", REPOSITORY.parent / "shared" / "data"))

REAL_MODELS = Path(os.environ.get("DUBBER_TEST_MODELS", REPOSITORY.parent / "shared" / "models"))

for variable in ("DUBBER_CACHE", "DUBBER_CONFIG", "DUBBER_WEIGHTS"):  # the user's own would change results
    os.environ.pop(variable, None)

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before torch is loaded
    # Threads that share tiny arrays spin while they wait: two thirds of a test run's processor time.
    os.environ[variable] = "1"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell script
    # What tests start would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["DUBBER_SIGNER"] = "none"
"""Two signatures are never the same bytes: only the tests of signatures make them."""


def real_clip(name: str) -> Path:
    """A real talking clip, or a skip that says which one is absent."""
    path = REAL_CLIPS / name
    if not path.is_file():
        pytest.skip(f"the real clip {name} is not here (set DUBBER_TEST_CLIPS to a folder that holds it)")
    return path


def real_model(name: str) -> Path:
    """A published model in its own files, or a skip that says which one is absent."""
    path = REAL_MODELS / name
    if not path.exists():
        pytest.skip(f"the model {name} is not here (set DUBBER_TEST_MODELS to a folder that holds it)")
    return path


@pytest.fixture(scope="session", autouse=True)
def _no_user_s_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test stores without saying where is this run's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBBER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A CPU runtime with a cache of its own."""
    return Runtime(
        cache_dir=tmp_path / "cache",
        device=Device("cpu", reason="test"),
        weights=WeightsFolder(default_weights_dir()),
    )


@pytest.fixture
def context(runtime: Runtime, tmp_path: Path) -> StageContext:
    """A context in which a single stage can be run by hand."""
    entry, work = tmp_path / "entry", tmp_path / "work"
    entry.mkdir()
    work.mkdir()
    return StageContext(runtime=runtime, entry_dir=entry, work_dir=work, stage_name="test")


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command that sets up logging within a test does so for that test alone."""
    logger = logging.getLogger("dubber")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1], before[2]
