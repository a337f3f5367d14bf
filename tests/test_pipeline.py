"""The whole method on a synthetic clip of two seconds: results, the cache, null twins, resuming."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dubber import DubConfig, dub, make_runtime
from dubber.engine.execute import Run
from dubber.engine.stage import Runtime, StageContext
from dubber.engine.store import Store
from dubber.errors import ConfigError, OutputExistsError
from dubber.evaluation.metrics import psnr_db
from dubber.intermediates import export
from dubber.media.probe import probe
from dubber.media.reader import read_frames
from dubber.ops.align import apply_similarity, invert_similarity
from dubber.ops.landmarks import mouth_opening
from dubber.pipeline import DubPlan, plan_dub
from dubber.stages import mouth_segments
from dubber.stages.blend import Blend
from dubber.types import Mouths
from tests.synth import SyntheticClip, make_clip, talking_sound, write_wav

NUM_FRAMES = 40
STAGES = [
    *("demux", "speech", "timeline", "people", "own_speech", "track", "fit"),
    *("translate", "retime", "check", "render", "teeth", "deflicker", "blend", "remux"),
]


@dataclasses.dataclass(frozen=True)
class Case:
    """A clip, two lines, and a cache that several tests fill and use."""

    clip: SyntheticClip
    line: Path
    other_line: Path
    cache: Path
    folder: Path

    def runtime(self, cache: Path | None = None) -> Runtime:
        return make_runtime(cache_dir=cache or self.cache, device="cpu")

    def plan(self, line: Path | None = None, **overrides: object) -> DubPlan:
        config = DubConfig().with_overrides({"length.mode": "cut_off", **overrides})
        return plan_dub(config, self.clip.path, line or self.line, runtime=self.runtime())


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("a folder with 'quotes' and ümläuts")
    clip = make_clip(folder / "talk ünd face.mp4", num_frames=NUM_FRAMES)
    seconds = NUM_FRAMES / 25
    line = write_wav(folder / "line 'one'.wav", talking_sound(seconds, seed=5))
    other = write_wav(folder / "other.wav", talking_sound(seconds, seed=9))
    return Case(clip, line, other, folder / "cache", folder)


@pytest.fixture(scope="module")
def dubbed(case: Case) -> Path:
    """The clip with the first line, made once."""
    output = case.folder / "dubbed.mp4"
    config = DubConfig().with_overrides({"length.mode": "cut_off"})
    result = dub(case.clip.path, case.line, output, config=config, runtime=case.runtime())
    assert [(report.name, report.is_hit) for report in result.stages] == [(name, False) for name in STAGES]
    assert result.num_frames == NUM_FRAMES
    assert result.num_dubbed_frames == NUM_FRAMES
    assert result.passed_through == ()
    return output


def files_of(mouths: Mouths) -> list[bytes]:
    return [file.path.read_bytes() for file in mouths.patches]


def frames_of(path: Path) -> Iterator[np.ndarray]:
    for frame in read_frames(path, probe(path)):
        yield frame.rgb()


def test_output_has_the_sources_frames_and_size(case: Case, dubbed: Path) -> None:
    source, output = probe(case.clip.path), probe(dubbed)
    assert (output.size, output.num_frames, output.has_audio) == (source.size, source.num_frames, True)
    np.testing.assert_allclose(output.times_s_T, source.times_s_T, atol=1e-4)


def test_only_the_mouth_changes(case: Case, dubbed: Path) -> None:
    """Outside the box that the compositor works on the pictures are the source's; in it they are not."""
    mouths = Run((plan := case.plan()).plan, case.runtime()).get(plan.rendered)
    outside, inside = [], []
    for n, (before, after) in enumerate(zip(frames_of(case.clip.path), frames_of(dubbed), strict=True)):
        points = np.concatenate([mouths.landmarks_NM2[n], mouths.source_landmarks_NM2[n]])
        points = apply_similarity(invert_similarity(mouths.similarity_N23[n]), points)
        low, high = points.min(0), points.max(0)
        margin = 0.25 * (high - low) + 8  # the jaw moves too; see `Compositor`
        (x0, y0), (x1, y1) = (
            np.maximum(low - margin * [1, 0], 0).astype(int),
            np.ceil(high + margin).astype(int),
        )
        is_outside = np.ones(before.shape[:2], np.bool_)
        is_outside[y0:y1, x0:x1] = False
        outside.append(psnr_db(before[is_outside], after[is_outside]))
        inside.append(psnr_db(before[~is_outside], after[~is_outside]))
    assert np.mean(outside) > 42
    assert min(inside) < 30


def test_the_mouth_moves_as_it_is_told(case: Case, dubbed: Path) -> None:
    """A tracker that looks at the output sees the openings that were asked for."""
    plan = case.plan()
    wanted = Run(plan.plan, case.runtime()).get(plan.rendered)
    seen_plan = plan_dub(DubConfig(), dubbed, case.line, runtime=case.runtime())
    seen = Run(seen_plan.plan, case.runtime()).get(seen_plan.track)
    from dubber.ops.landmarks import MOUTH_JAW

    seen_opening = mouth_opening(apply_similarity(seen.similarity_T23, seen.landmarks_TL3[:, MOUTH_JAW, :2]))
    unit = 384 / wanted.crop_size_px
    correlation = np.corrcoef(seen_opening, mouth_opening(wanted.landmarks_NM2) * unit)[0, 1]
    assert correlation > 0.8


def test_second_run_recomputes_nothing(case: Case, dubbed: Path) -> None:
    digest = hashlib.sha256(dubbed.read_bytes()).hexdigest()
    config = DubConfig().with_overrides({"length.mode": "cut_off"})
    again = dub(case.clip.path, case.line, dubbed, config=config, runtime=case.runtime(), is_overwrite=True)
    assert all(report.is_hit for report in again.stages)
    assert hashlib.sha256(dubbed.read_bytes()).hexdigest() == digest


def test_existing_output_is_refused_before_any_work(case: Case, dubbed: Path, tmp_path: Path) -> None:
    before = dubbed.read_bytes()
    with pytest.raises(OutputExistsError):
        dub(case.clip.path, case.line, dubbed, runtime=case.runtime(tmp_path / "fresh"))
    assert dubbed.read_bytes() == before
    assert not (tmp_path / "fresh" / "entries").exists()


def test_inputs_are_never_outputs(case: Case) -> None:
    with pytest.raises(ConfigError, match="one of the inputs"):
        dub(case.clip.path, case.line, case.clip.path, runtime=case.runtime(), is_overwrite=True)


def test_other_speech_keeps_what_the_video_gave(case: Case, dubbed: Path) -> None:
    plan = case.plan(case.other_line).plan
    store = Store(case.cache)
    hits = {node.name for node in plan.nodes if node.stage is not None and store.has(node.key)}
    assert hits == {"demux", "people", "track", "fit", "own_speech", "check"}


def test_until_stops_and_keeps(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "never.mp4"
    result = dub(case.clip.path, case.line, output, runtime=case.runtime(tmp_path / "c"), until_stage="demux")
    assert [report.name for report in result.stages] == ["demux"]
    assert result.output is None and not output.exists()
    with pytest.raises(ConfigError, match="no stage 'nonsense'"):
        dub(case.clip.path, case.line, output, runtime=case.runtime(), until_stage="nonsense")


def test_only_costly_streams_are_stored(case: Case, dubbed: Path, tmp_path: Path) -> None:
    """The others are, when they are asked for; then what follows is made of what is stored."""
    plan, store = case.plan(), Store(case.cache)
    finishing = (plan.toothed, plan.mouths)
    assert store.has(plan.rendered.key)
    assert not any(store.has(ref.key) for ref in finishing)
    assert not list((case.cache / "work").rglob("*"))
    config = DubConfig().with_overrides({"length.mode": "cut_off"})
    for until_stage, names in (("teeth", ["teeth"]), ("blend", ["deflicker"])):
        told = dub(
            case.clip.path, case.line, config=config, runtime=case.runtime(), until_stage=until_stage
        ).stages
        assert [report.name for report in told if not report.is_hit] == names
    run = Run(plan.plan, case.runtime())
    for before, after in pairwise((plan.rendered, *finishing)):
        assert store.has(after.key)
        made, given = run.get(after), run.get(before)
        assert (made.landmarks_NM2 == given.landmarks_NM2).all()
        assert (made.renderer, made.crop_size_px) == (given.renderer, given.crop_size_px)
        assert files_of(made) != files_of(given)
    result = dub(
        case.clip.path,
        case.line,
        tmp_path / "o.mp4",
        config=config,
        runtime=case.runtime(),
        from_stage="blend",
    )
    assert [report.name for report in result.stages if not report.is_hit] == ["blend", "remux"]
    assert (tmp_path / "o.mp4").read_bytes() == dubbed.read_bytes()


def test_null_twins_give_the_source_back(
    case: Case, dubbed: Path, tmp_path: Path, context: StageContext
) -> None:
    config = DubConfig().with_overrides(
        {"length.mode": "cut_off", "render.renderer": "copy", "translate.translator": "neutral"}
    )
    plan = plan_dub(config, case.clip.path, case.line, runtime=case.runtime())
    run = Run(plan.plan, case.runtime())
    inputs = [run.get(ref) for ref in (plan.video, plan.clip, plan.track, plan.retime, plan.mouths)]
    stream = Blend(config.blend).run(context, *inputs)
    source = read_frames(case.clip.path, probe(case.clip.path))
    for before, made in zip(source, stream.open(), strict=True):  # before the encoder: bit for bit
        for plane, same in zip(before.planes, made.planes, strict=True):
            np.testing.assert_array_equal(plane, same)
    output = tmp_path / "copy.mp4"
    dub(case.clip.path, case.line, output, config=config, runtime=case.runtime())
    pairs = zip(frames_of(case.clip.path), frames_of(output), strict=True)
    assert np.mean([psnr_db(after, before) for before, after in pairs]) > 44


def test_intermediates_are_files_to_look_at(case: Case, dubbed: Path, tmp_path: Path) -> None:
    export(case.plan(), case.runtime(), tmp_path / "look")
    names = {path.name for path in (tmp_path / "look").iterdir()}
    assert {
        "demux.json",
        "speech.wav",
        "fit_expression.csv",
        "fit_expression.png",
        "translate_expression.csv",
        "retime_source_frame.csv",
        "render_mouth_opening_px.png",
        "track_overlay.mp4",
        "before_after.png",
    } <= names
    assert probe(tmp_path / "look" / "track_overlay.mp4").num_frames == NUM_FRAMES
    rows = (tmp_path / "look" / "translate_expression.csv").read_text().splitlines()
    assert len(rows) == NUM_FRAMES + 1


# In the middle of looking for people; in the middle of the patches; between the last of them and the
# encode's end.
@pytest.mark.parametrize(
    ("stage", "num_frames", "first_made"),
    [("people", 6, "people"), ("render", 20, "render"), ("remux", NUM_FRAMES, "teeth")],
)
def test_killed_run_goes_on_to_the_same_bytes(
    case: Case,
    dubbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    num_frames: int,
    first_made: str,
) -> None:
    """kill -9; the next run's output equals that of an undisturbed one."""
    output = tmp_path / "killed.mp4"
    if stage != "people":  # what comes before is there
        shutil.copytree(case.cache / "entries", tmp_path / "cache" / "entries")
        for node in case.plan().plan.nodes:
            if node.name in STAGES[STAGES.index("render") :]:
                Store(tmp_path / "cache").remove(node.key)
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        import torch
        from dubber import DubConfig, dub, make_runtime
        from dubber.stages import mouth_segments

        mouth_segments.SEGMENT_FRAMES = 8

        class Reports:
            count = 0
            def plan(self, stages): pass
            def start(self, stage, total): pass
            def finish(self, stage, seconds, *, is_hit): pass
            def advance(self, stage, count=1):
                Reports.count += count * (stage == {stage!r})
                if stage == {stage!r} and Reports.count >= {num_frames}:
                    print("in", stage, flush=True)
                    import time; time.sleep(60)

        config = DubConfig().with_overrides({{"length.mode": "cut_off"}})
        dub({str(case.clip.path)!r}, {str(case.line)!r}, {str(output)!r}, config=config,
            runtime=make_runtime(cache_dir=Path({str(tmp_path / "cache")!r}), device="cpu"),
            progress=Reports())
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == f"in {stage}"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not output.exists()
    segments = [path.name for path in (tmp_path / "cache" / "work").rglob("*.mkv")]
    assert sorted(segments) == (["render_00000.mkv", "render_00001.mkv"] if stage == "render" else [])
    monkeypatch.setattr(mouth_segments, "SEGMENT_FRAMES", 8)
    config = DubConfig().with_overrides({"length.mode": "cut_off"})
    runtime = case.runtime(tmp_path / "cache")
    result = dub(case.clip.path, case.line, output, config=config, runtime=runtime)
    again = STAGES[STAGES.index(first_made) :]
    assert [report.name for report in result.stages if not report.is_hit] == again
    assert list((tmp_path / "cache" / "work").rglob("*")) == []
    assert output.read_bytes() == dubbed.read_bytes()
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "killed.mp4"]


def test_longer_speech_is_retimed(case: Case, tmp_path: Path) -> None:
    """Speech 1.5 times as long as the footage: the run stretches the clip and says so."""
    seconds = 1.5 * NUM_FRAMES / 25
    line = write_wav(tmp_path / "long.wav", talking_sound(seconds, seed=3))
    result = dub(case.clip.path, line, tmp_path / "long.mp4", runtime=case.runtime())
    assert result.length_mode == "retime"
    assert result.num_frames == pytest.approx(seconds * 25, abs=1)
    assert probe(tmp_path / "long.mp4").duration_s == pytest.approx(seconds, abs=0.05)


def test_speech_that_is_cut_is_told(case: Case, tmp_path: Path) -> None:
    line = write_wav(tmp_path / "long.wav", talking_sound(1 + NUM_FRAMES / 25, seed=3))
    config = DubConfig().with_overrides({"length.mode": "cut_off", "render.renderer": "copy"})
    result = dub(case.clip.path, line, tmp_path / "cut.mp4", config=config, runtime=case.runtime())
    assert len(result.warnings) == 1
    assert "last 1.0 s of the speech were cut off (--length cut_off)" in result.warnings[0]


@pytest.mark.parametrize("translator", ["lstm", "neutral"])
def test_a_video_without_sound_is_dubbed(tmp_path: Path, translator: str) -> None:
    mute = make_clip(tmp_path / "mute.mp4", num_frames=12, has_audio=False)
    line = write_wav(tmp_path / "line.wav", talking_sound(12 / 25, seed=5))
    config = DubConfig().with_overrides({"translate.translator": translator})
    runtime = make_runtime(cache_dir=tmp_path / "cache", device="cpu")
    result = dub(mute.path, line, tmp_path / "o.mp4", config=config, runtime=runtime)
    assert result.num_dubbed_frames == result.num_frames == 12
    plan = plan_dub(config, mute.path, line, runtime=runtime)
    assert Run(plan.plan, runtime).get(plan.own_speech).num_samples == 0
    assert probe(tmp_path / "o.mp4").has_audio


def test_interrupt_ends_with_130_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    command = [sys.executable, "-m", "dubber", "run", str(case.clip.path), str(case.line)]
    process = subprocess.Popen(
        [*command, "-o", str(output), "--cache", str(tmp_path / "cache")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("demux"):
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 130, rest
    assert "Interrupted" in rest
    assert not output.exists()
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_finishing_stages_can_be_switched_off(case: Case) -> None:
    config = DubConfig().with_overrides({"teeth.is_on": False, "deflicker.is_on": False})
    plan = plan_dub(config, case.clip.path, case.line, runtime=case.runtime())
    assert plan.mouths == plan.toothed == plan.rendered
    assert "teeth" not in plan.plan.stage_names()
    assert "deflicker" not in plan.plan.stage_names()
    with_all = plan_dub(DubConfig(), case.clip.path, case.line, runtime=case.runtime())
    assert with_all.rendered == plan.rendered, "what was rendered stays in the cache"
    assert len({with_all.mouths, with_all.toothed, with_all.rendered}) == 3
    with pytest.raises(ConfigError, match="deflicker"):
        dub(case.clip.path, case.line, config=config, runtime=case.runtime(), until_stage="deflicker")


def test_the_result_says_who_painted_and_how_large(case: Case, tmp_path: Path) -> None:
    config = DubConfig().with_overrides({"length.mode": "cut_off", "render.renderer": "exemplar"})
    result = dub(case.clip.path, case.line, tmp_path / "o.mp4", config=config, runtime=case.runtime())
    mouths = Run((plan := case.plan()).plan, case.runtime()).get(plan.rendered)
    assert (result.renderer, result.crop_size_px) == ("exemplar", mouths.crop_size_px)
    assert result.adaptation_gain_db is None


def test_only_the_hybrid_renderer_adapts(case: Case, tmp_path: Path) -> None:
    config = DubConfig().with_overrides({"render.renderer": "exemplar", "adapt.is_on": True})
    with pytest.raises(ConfigError, match="cannot adapt"):
        dub(case.clip.path, case.line, tmp_path / "o.mp4", config=config, runtime=case.runtime())
