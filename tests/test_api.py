"""The Python API: its examples run as printed, frames come without a file, and importing it is cheap."""

from __future__ import annotations

import doctest
import importlib
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import dubber
from dubber import DubConfig, dub, dubbed_frames, make_runtime
from dubber.errors import ConfigError, MediaError, WeightsError
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.script import in_range
from tests.conftest import REPOSITORY
from tests.stages.streams import num_makers
from tests.synth import make_clip, talking_sound, write_wav

NUM_FRAMES = 24
DOCUMENTED = [
    "dubber",
    "dubber.config",
    "dubber.dubbing",
    "dubber.engine.progress",
    "dubber.frames",
    "dubber.script",
    "dubber.stages.plugins",
    "dubber.testing",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of: `talk.mp4`, `line.wav` as long as it, and `other.wav`."""
    folder = tmp_path_factory.mktemp("examples")
    make_clip(folder / "talk.mp4", num_frames=NUM_FRAMES, size=(360, 360))
    for seed, name in enumerate(("line.wav", "other.wav")):
        write_wav(folder / name, talking_sound(NUM_FRAMES / 25, seed=seed + 3))
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DUBBER_CACHE", str(folder / "cache"))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_run_as_they_are_printed(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner()
    report: list[str] = []
    found = [test for test in doctest.DocTestFinder().find(module, globs={}) if test.examples]
    for test in found:
        runner.run(test, out=report.append)
    assert found
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_every_name_is_there_with_its_documentation() -> None:
    for name in set(dubber.__all__) - {"__version__"}:
        assert getattr(dubber, name).__doc__, name
        assert name in dir(dubber)
    with pytest.raises(AttributeError, match="dubb"):
        _ = dubber.dubb


def test_frames_are_those_of_the_file(folder: Path) -> None:
    config = DubConfig().with_overrides({"render.renderer": "exemplar", "remux.crf": 0})
    with closing(dubbed_frames("talk.mp4", "line.wav", config=config)) as frames:
        made = list(frames)
    result = dub("talk.mp4", "line.wav", "frames.mp4", config=config)
    assert len(made) == result.num_frames == NUM_FRAMES
    assert sum(frame.is_dubbed for frame in made) == result.num_dubbed_frames == NUM_FRAMES
    np.testing.assert_allclose([frame.time_s for frame in made], np.arange(NUM_FRAMES) / 25, atol=1e-9)
    for frame, written in zip(
        made, read_frames(folder / "frames.mp4", probe(folder / "frames.mp4")), strict=True
    ):
        # Without loss, but for what lossless H.264 has of 8 bit 4:2:0, which is what was made.
        np.testing.assert_array_equal(frame.image_HW3, written.rgb())
    assert num_makers() == 0


def test_frames_can_be_small_and_may_be_left_by_any_thread() -> None:
    config = DubConfig().with_overrides({"render.renderer": "copy"})
    frames = dubbed_frames("talk.mp4", "line.wav", config=config, size=(90, 120))
    assert num_makers() == 0  # nothing is begun before it is asked for
    (image_HW3, _, _) = next(frames)
    assert image_HW3.shape == (90, 120, 3)
    closer = threading.Thread(target=frames.close)
    closer.start()
    closer.join(timeout=30)
    assert not closer.is_alive()
    assert num_makers() == 0
    with closing(dubbed_frames("talk.mp4", "line.wav", config=config)) as again:  # no lock was left behind
        assert len(list(again)) == NUM_FRAMES


def test_the_frames_of_a_range_are_the_films_own_outside_of_it(folder: Path) -> None:
    """No mouth is made outside."""
    said = in_range(folder / "line.wav", 0.2, 0.5)
    with closing(dubbed_frames("talk.mp4", said)) as frames:
        dubbed_s = [frame.time_s for frame in frames if frame.is_dubbed]
    assert 0.1 < dubbed_s[0] < dubbed_s[-1] < 0.6
    with pytest.raises(ConfigError, match=r"the film lasts 0\.96 s"):
        next(dubbed_frames("talk.mp4", in_range(folder / "line.wav", 2.0, None)))


def test_frames_carry_the_label_that_the_file_would() -> None:
    config = DubConfig().with_overrides({"render.renderer": "copy"})
    labelled = config.with_overrides({"mark.is_on": True, "mark.corner": "bottom_left"})
    seen = []
    for each in (config, labelled):
        with closing(dubbed_frames("talk.mp4", "line.wav", config=each)) as frames:
            seen.append(next(frames))
    changed_HW = (seen[0].image_HW3 != seen[1].image_HW3).any(axis=2)
    assert changed_HW[:180].sum() == changed_HW[:, 180:].sum() == 0
    assert changed_HW[180:, :180].sum() > 200
    assert seen[1].is_dubbed


def test_missing_weights_are_told_before_the_work(folder: Path) -> None:
    weights = shutil.copytree(REPOSITORY / "weights", folder / "weights")
    (weights / "renderer_hybrid.safetensors").unlink()
    runtime = make_runtime(cache_dir=folder / "empty", weights_dir=weights)
    seen = _Count()
    with pytest.raises(WeightsError, match="renderer_hybrid"):
        next(dubbed_frames("talk.mp4", "line.wav", runtime=runtime, progress=seen))
    assert not seen.counts


def test_what_is_wrong_is_said_before_a_frame_is_asked_for() -> None:
    with pytest.raises(MediaError, match=r"missing\.mp4"):
        dubbed_frames("missing.mp4", "line.wav")


@pytest.mark.slow
def test_the_first_frame_of_a_long_film_waits_for_no_other(folder: Path) -> None:
    """What waits between the stages is bounded: few frames are decoded beyond the one that is asked for."""
    make_clip(folder / "long.mp4", num_frames=400, size=(240, 240))
    config = DubConfig().with_overrides({"render.renderer": "copy", "length.mode": "silence"})
    seen = _Count()
    with closing(
        dubbed_frames("long.mp4", "line.wav", config=config, runtime=make_runtime(), progress=seen)
    ) as frames:
        assert len(list(islice(frames, 10))) == 10
    assert 10 <= seen.counts["render"] < 60


class _Count:
    """Counts frames by stage."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def plan(self, stages: list[str]) -> None: ...
    def start(self, stage: str, total: int | None) -> None:
        self.counts[stage] = 0

    def advance(self, stage: str, count: int = 1) -> None:
        self.counts[stage] += count

    def finish(self, stage: str, seconds: float, *, is_hit: bool) -> None: ...


@pytest.mark.slow
def test_a_program_that_uses_it_passes_strict_type_checks(tmp_path: Path) -> None:
    """`py.typed` holds: names that are imported on first use have their types."""
    program = tmp_path / "program.py"
    program.write_text(
        "from dubber import DubConfig, DubResult, PatchRenderer, RenderJob, dub, dubbed_frames\n"
        "import numpy as np\n"
        "from numpy.typing import NDArray\n"
        "\n"
        "class Grey(PatchRenderer):\n"
        "    version = 1\n"
        "    def __init__(self, job: RenderJob) -> None:\n"
        "        super().__init__(job)\n"
        "    def patch(self, n: int, filmed_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:\n"
        "        return filmed_HW3\n"
        "\n"
        "result: DubResult = dub('a.mp4', 'b.wav', config=DubConfig())\n"
        "for image, time_s, is_dubbed in dubbed_frames('a.mp4', 'b.wav'):\n"
        "    reveal_type(time_s)\n"
        "number: str = result.num_frames  # a mistake, which is to be found\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path, program],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    lines = [line for line in done.stdout.splitlines() if "program.py" in line]
    assert any('Revealed type is "float"' in line or '"builtins.float"' in line for line in lines), (
        done.stdout
    )
    errors = [line for line in lines if ": error:" in line]
    assert len(errors) == 1
    assert 'expression has type "int"' in errors[0]


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ["torch", "cv2", "av", "librosa", "scipy"]
    names = ", ".join(
        name for name in dubber.__all__ if name not in ("PatchRenderer", "Renderer", "RenderJob")
    )
    code = f"import sys; from dubber import {names}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == "[]"
