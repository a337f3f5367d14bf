"""Renderers of the user's own: found, loaded, told apart by their code, and watched."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig, PatchRenderer, dubbed_frames, make_runtime, register_renderer
from dubber.engine.store import Store
from dubber.errors import ConfigError
from dubber.pipeline import plan_dub
from dubber.stages.methods import all_methods
from dubber.stages.plugins import find_renderer
from dubber.testing import check_renderer
from dubber.types import UInt8
from tests.synth import EXAMPLES, make_clip, talking_sound, write_wav

NUM_FRAMES = 16

PLAIN = """
from dubber.stages.renderers import PatchRenderer

class Mine(PatchRenderer):
    version = 1

    def patch(self, n, filmed_HW3):
        return filmed_HW3
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, a line, and a cache that knows the clip."""
    folder = tmp_path_factory.mktemp("own")
    make_clip(folder / "talk.mp4", num_frames=NUM_FRAMES, size=(240, 240))
    write_wav(folder / "line.wav", talking_sound(NUM_FRAMES / 25, seed=3))
    return folder


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return f"{path}:Mine"


def frames(case: Path, name: str, **overrides: object) -> UInt8:
    """(N, H, W, 3) the finished frames."""
    config = DubConfig().with_overrides({"render.renderer": name, **overrides})
    runtime = make_runtime(cache_dir=case / "cache", device="cpu")
    made = dubbed_frames(case / "talk.mp4", case / "line.wav", config=config, runtime=runtime)
    return np.stack([frame.image_HW3 for frame in made])


def key(case: Path, name: str) -> str:
    config = DubConfig().with_overrides({"render.renderer": name})
    runtime = make_runtime(cache_dir=case / "cache", device="cpu")
    plan = plan_dub(
        config, case / "talk.mp4", case / "line.wav", runtime=runtime, store=Store(case / "cache")
    )
    return plan.rendered.key


def test_the_example_keeps_every_promise(case: Path) -> None:
    """And is as short as it is said to be."""
    example = EXAMPLES / "own_renderer.py"
    runtime = make_runtime(cache_dir=case / "cache", device="cpu")
    name = f"{example}:MedianRenderer"
    check_renderer(name, case / "talk.mp4", case / "line.wav", runtime=runtime, num_frames=12)
    code = example.read_text(encoding="utf-8").split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40


def test_another_code_is_another_key(case: Path, tmp_path: Path) -> None:
    first = key(case, written(tmp_path, PLAIN))
    assert key(case, written(tmp_path, PLAIN)) == first
    assert key(case, written(tmp_path, PLAIN.replace("version = 1", "version = 2"))) != first
    assert key(case, written(tmp_path, PLAIN.replace("return filmed_HW3", "return filmed_HW3 // 2"))) != first
    assert key(case, "exemplar") != first
    assert key(case, written(tmp_path, PLAIN)) == first


def test_an_edited_file_is_run_anew(case: Path, tmp_path: Path) -> None:
    """In the same process, as in a notebook."""
    name = written(tmp_path, PLAIN)
    before = frames(case, name)
    written(tmp_path, PLAIN.replace("return filmed_HW3", "return filmed_HW3[::-1]"))
    assert np.abs(frames(case, name).astype(int) - before).max() > 60


def test_a_file_is_run_where_it_lies_and_as_python_runs_it(tmp_path: Path) -> None:
    """Whatever it reads beside itself is its own; it has the annotations that it asked for."""
    text = PLAIN + "    def size(self, n: int) -> int: ...\n"
    for folder in ("one", "other"):
        found = find_renderer(written(tmp_path, text, f"{folder}/mine.py"))
        assert found is not None
        assert found.make.size.__annotations__ == {"n": int, "return": int}  # type: ignore[attr-defined]
        assert sys.modules[found.make.__module__].__file__ == str(tmp_path / folder / "mine.py")


def test_modules_and_installed_packages_are_found(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package's other files count too; what is installed is listed without being imported."""
    written(tmp_path, "", "lab_pkg/__init__.py")
    written(tmp_path, PLAIN, "lab_pkg/paint.py")
    written(tmp_path, "SHADE = 1\n", "lab_pkg/shade.py")
    info = tmp_path / "lab_pkg-1.0.dist-info"
    written(info, "Metadata-Version: 2.1\nName: lab-pkg\nVersion: 1.0\n", "METADATA")
    written(
        info,
        "[dubber.renderers]\nlab = lab_pkg.paint:Mine\nbroken = no_such_module:Mine\n",
        "entry_points.txt",
    )
    monkeypatch.syspath_prepend(tmp_path)
    listed = {method.name: method.summary for method in all_methods() if method.part == "renderer"}
    assert "lab_pkg.paint:Mine" in listed["lab"]
    before = find_renderer("lab")
    by_place = find_renderer("lab_pkg.paint:Mine")
    assert before is not None
    assert by_place is not None
    assert before.code == by_place.code
    written(tmp_path, "SHADE = 2\n", "lab_pkg/shade.py")
    still = find_renderer("lab")
    assert still is not None
    assert still.code == before.code  # what this process has loaded is the old code
    for name in [name for name in sys.modules if name.startswith("lab_pkg")]:
        monkeypatch.delitem(sys.modules, name)
    after = find_renderer("lab")
    assert after is not None
    assert after.code != before.code
    with pytest.raises(ConfigError, match="no_such_module"):
        find_renderer("broken")


def test_a_registered_class_is_made_anew_with_each_registration(case: Path) -> None:
    source = (
        "class Mine(Base):\n    version = 1\n    def patch(self, n, filmed_HW3):\n        return filmed_HW3\n"
    )
    keys = set()
    for _ in range(2):
        notebook: dict[str, object] = {"Base": PatchRenderer, "__name__": "no_file_at_all"}
        exec(source, notebook)
        register_renderer("noted", notebook["Mine"])  # type: ignore[arg-type]
        keys |= {key(case, "noted"), key(case, "noted")}
    assert len(keys) == 2
    with pytest.raises(ConfigError, match="hybrid"):
        register_renderer("hybrid", PatchRenderer)


def test_a_file_that_ends_the_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SystemExit: 0\)"):
        find_renderer(written(tmp_path, "raise SystemExit(0)"))


def test_a_class_that_was_registered_elsewhere_is_missed_by_name() -> None:
    """As in a worker process, which gets the configuration alone."""
    with pytest.raises(ConfigError, match="no renderer of that name"):
        find_renderer("registered_in_another_process")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_file.py:Mine", "No such file"),
        ("no_such_module:Mine", "No module named"),
        ("hybird", r"render\.renderer.*exemplar"),
        ("mine.py", r"'copy', or one of yours, as FILE\.py:CLASS\. `"),
        ("math:sqrt", "has no source file|no class with"),
        ("pathlib:Path", "no class with a method `paint`"),
        ("dubber.stages.renderers:PatchRenderer", "it lacks patch"),
        ("dubber.stages.renderers:Nothing", "There is no 'Nothing'"),
        ("dubber.stages.renderers:RENDERERS", "no class with"),
    ],
)
def test_what_is_no_renderer_is_refused_before_any_work(case: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        key(case, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return filmed_HW3", "return filmed_HW3[:-2]"), r"frame 0 is \(\d+, \d+, 3\) uint8, not"),
        (("return filmed_HW3", "return filmed_HW3 / 255"), "float64, not"),
        (("return filmed_HW3", "return None"), "frame 0 has no patch"),
        (("return filmed_HW3", "return {}[n]"), "line 8: KeyError: 0"),
        (
            ("def patch", "def paint(self, shown):\n        yield from list(shown)[1:]\n    def patch"),
            "frame 1 where 0",
        ),
        (("def patch", "def paint(self, shown):\n        return iter([])\n    def patch"), "AttributeError"),
        (
            ("    def patch", "    def __init__(self, job):\n        job.nothing\n    def patch"),
            "line 8: AttributeError",
        ),
    ],
)
def test_its_mistakes_are_named_as_its_own(
    case: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    name = written(tmp_path, PLAIN.replace(*change))
    with pytest.raises(ConfigError, match=message) as found:
        frames(case, name)
    assert name in str(found.value)


def test_checks_find_what_depends_on_where_one_begins(case: Path, tmp_path: Path) -> None:
    """A renderer that counts its calls paints other bytes when a killed run goes on."""
    counting = PLAIN.replace(
        "return filmed_HW3", "self.n = getattr(self, 'n', 0) + 1; return filmed_HW3 - self.n"
    )
    name = written(
        tmp_path, counting.replace("filmed_HW3 - self.n", "filmed_HW3 - __import__('numpy').uint8(self.n)")
    )
    runtime = make_runtime(cache_dir=case / "cache", device="cpu")
    with pytest.raises(AssertionError, match="is the same when painting begins with"):
        check_renderer(name, case / "talk.mp4", case / "line.wav", runtime=runtime, num_frames=12)


def test_filmed_pixels_are_what_it_is_shown(case: Path) -> None:
    """Given back unchanged, they are where they came from: the finished frames are the source's."""
    plain = {"teeth.is_on": False, "blend.is_jaw_moved": False, "blend.grain": 0}
    before = frames(case, "copy").astype(int)
    after = frames(case, written(case, PLAIN), **plain).astype(int)
    assert (before != after).any()  # it was painted
    assert np.abs(before - after).mean() < 0.5
    assert np.abs(before - after).max() < 40
