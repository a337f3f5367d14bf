"""A short dub with a gap in it, and the page about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dubber import DubConfig, dub, make_runtime
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.evaluation.quality import Quality, measure_quality
from dubber.outcome import DubResult
from dubber.pipeline import DubPlan, plan_dub
from dubber.report import ReportFacts, write_report
from tests.synth import SyntheticClip, make_clip, talking_sound, write_wav

FACELESS = range(16, 26)

HOSTILE_NAME = """<img src=x onerror="fail()"></script><script>fail()</script> & 'quoted' \u202e\udcff\x07"""


@dataclass(frozen=True)
class Finished:
    """A finished dub whose times are the source's: 40 frames, of which ten show no face.

    Attributes:
        clip: The source.
        plan: What was run.
        runtime: Names the cache that holds it.
        result: What the run did.
        page: Its report, whose name is a hostile one.
        quality: Measured once, for all reports of the tests.
    """

    clip: SyntheticClip
    plan: DubPlan
    runtime: Runtime
    result: DubResult
    page: Path
    quality: Quality

    def write(self, page: Path, *, is_overwrite: bool = False) -> None:
        """A report about it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dubber.evaluation.quality.measure_quality", lambda *_: self.quality)
            write_report(
                self.plan,
                self.runtime,
                self.result,
                page,
                progress=SilentProgress(),
                is_overwrite=is_overwrite,
                facts=ReportFacts(name=HOSTILE_NAME),
            )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("report")
    clip = make_clip(folder / "talk.mp4", num_frames=40, faceless=FACELESS)
    line = write_wav(folder / "line.wav", talking_sound(1.6, seed=5))
    runtime = make_runtime(cache_dir=folder / "cache", device="cpu", threads=1)
    config = DubConfig().with_overrides({"render.renderer": "copy", "length.mode": "cut_off"})
    result = dub(clip.path, line, folder / "dubbed.mp4", runtime=runtime, config=config)
    result = replace(result, warnings=("Said <once>.",))
    plan = plan_dub(config, clip.path, line, runtime=runtime)
    quality = measure_quality(plan, runtime, SilentProgress())
    done = Finished(clip, plan, runtime, result, folder / "report.html", quality)
    done.write(done.page)
    return done
