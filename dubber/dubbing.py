"""Doing it: a plan made, checked and run, and what became of it; the Python API."""

from __future__ import annotations

import os
import time
from pathlib import Path

import platformdirs

from dubber.config import DubConfig
from dubber.engine.device import choose_device
from dubber.engine.disk import check_space
from dubber.engine.execute import Run
from dubber.engine.plan import Plan, Ref
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.errors import ConfigError
from dubber.outcome import DubResult, describe
from dubber.output import check_encoding, check_output, container_of, default_output
from dubber.pipeline import DubPlan, plan_dub
from dubber.provenance import Provenance
from dubber.provenance.publishing import publish_labelled, signer_of
from dubber.script import Script, whole
from dubber.stages.disk_need import disk_need
from dubber.types import Timeline


def make_runtime(
    *,
    cache_dir: Path | None = None,
    weights_dir: Path | None = None,
    device: str = "auto",
    threads: int = 1,
    is_commercial: bool = False,
) -> Runtime:
    """Settle where and how to run.

    Args:
        cache_dir: Default: `DUBBER_CACHE`, else the platform's user cache.
        weights_dir: Default: `DUBBER_WEIGHTS`, else the weights that come with dubber.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        threads: CPU threads of each network; 0: torch's own number. Stages run beside each other, and more
            than 1 makes them wait for each other; see `dubber.engine.device`.
        is_commercial: Refuse weights and models whose licence does not allow commercial use.

    Raises:
        DeviceError: The device does not exist here.

    Example:
        >>> from pathlib import Path
        >>> from dubber import make_runtime
        >>> make_runtime(cache_dir=Path("my_cache"), device="cpu").device.kind
        'cpu'
    """
    if cache_dir is None:
        cache_dir = Path(os.environ.get("DUBBER_CACHE") or platformdirs.user_cache_path("dubber"))
    return Runtime(
        cache_dir=cache_dir.expanduser().absolute(),
        device=choose_device(device),
        weights=WeightsFolder(weights_dir or default_weights_dir(), is_commercial=is_commercial),
        threads=threads,
    )


def dub(
    video: Path | str,
    said: Path | str | Script,
    output: Path | str | None = None,
    *,
    config: DubConfig | None = None,
    runtime: Runtime | None = None,
    progress: Progress | None = None,
    provenance: Provenance | None = None,
    curves: Path | str | None = None,
    is_overwrite: bool = False,
    from_stage: str | None = None,
    until_stage: str | None = None,
) -> DubResult:
    """Make the person in a video say other speech.

    Args:
        video: A person talking.
        said: What the person shall say, an audio file or a video whose sound is taken; or who says what
            when.
        output: Where the result goes; its suffix names the container. Default: see `default_output`.
        config: Parameters of the stages.
        runtime: Device, cache and weights; see `make_runtime`.
        progress: Is told how far the run is.
        provenance: Who signs for it.
        curves: What mouths and footage shall do, edited by the user (docs/curves.md).
        is_overwrite: Replace an existing output.
        from_stage: Make this stage and all after it again, whatever the cache holds.
        until_stage: Stop after this stage; no output is written.

    Returns:
        What was done.

    Raises:
        DubberError: With what is wrong, where, and what to do; nothing is left under the output's name.

    Example:
        >>> from dubber import DubConfig, DubberError, dub
        >>> config = DubConfig().with_overrides({"render.renderer": "copy", "length.mode": "cut_off"})
        >>> result = dub("talk.mp4", "line.wav", "copy.mp4", config=config)
        >>> f"{result.num_dubbed_frames} of {result.num_frames} frames, {result.duration_s:.2f} s"
        '24 of 24 frames, 0.96 s'
        >>> try:
        ...     dub("talk.mp4", "line.wav", "copy.mp4")
        ... except DubberError as error:
        ...     print(error.exit_code, error.message)
        9 The output is there already.
    """
    started = time.perf_counter()
    runtime = runtime or make_runtime()
    video = Path(video)
    script = said if isinstance(said, Script) else whole(Path(said))
    curves = None if curves is None else Path(curves)
    output = Path(output) if output is not None else default_output(video)
    if until_stage is None:
        inputs = (video, *script.files, *(() if curves is None else (curves,)))
        check_output(output, inputs=inputs, is_overwrite=is_overwrite)
    config = (config or DubConfig()).with_overrides({"remux.container": container_of(output)})
    signer = None
    if until_stage is None:
        check_encoding(config)
        signer = signer_of(provenance or Provenance(), config)
    dub_plan = plan_dub(config, video, script, runtime=runtime, curves=curves)
    plan = dub_plan.plan
    forced = plan.downstream_of(plan.index_of(from_stage)) if from_stage else set()
    run = Run(plan, runtime, progress or SilentProgress(), forced=forced)
    run.store.sweep()
    target = dub_plan.dubbed.index if until_stage is None else _last_stored(plan, plan.index_of(until_stage))
    run.check_weights(target)
    if target > dub_plan.timeline.index:
        # Cheap, and headers do not always tell how long a video is.
        check_lines(dub_plan.script, run.get(dub_plan.timeline))
    need = disk_need(plan, run.store, target, run.forced, keeps_all=runtime.keeps_all)
    output_bytes = need.output_bytes if until_stage is None else 0
    check_space([(runtime.cache_dir, need.cache_bytes), (output.parent, output_bytes)])
    run.progress.plan(plan.stage_names())
    if until_stage is not None:
        run.get(Ref(plan.nodes[target].key, target))
        return DubResult(None, stages=tuple(run.reports), seconds=time.perf_counter() - started)
    check_speakers(run, dub_plan)
    dubbed = run.get(dub_plan.dubbed)
    labels = publish_labelled(run, dub_plan, dubbed, output, signer, is_overwrite=is_overwrite)
    return describe(run, dub_plan, dubbed, output, labels, started)


def check_lines(script: Script, timeline: Timeline) -> None:
    """Something of a script must lie within the film.

    Raises:
        ConfigError: Nothing does.
    """
    first_s = min(line.start_s for line in script.lines)
    if first_s >= timeline.duration_s:
        raise ConfigError(
            f"The first line begins at {first_s:g} s; the film lasts {timeline.duration_s:.2f} s.",
            where="--start, --script",
            advice="Times are seconds from the film's first picture.",
        )


def check_speakers(run: Run, dub_plan: DubPlan) -> None:
    """Several speakers must be several people.

    Raises:
        ConfigError: Two of them are one.
    """
    names: dict[int, str] = {}
    for who, person in zip(dub_plan.script.speakers, dub_plan.performances, strict=False):
        number = int(run.get(person.track).identity_id_T.max())
        if number in names:
            raise ConfigError(
                f"The speakers '{names[number]}' and '{who}' are the same person.",
                where="--speaker",
                advice="`dubber faces VIDEO` shows who is in the film.",
            )
        names[number] = who


def _last_stored(plan: Plan, index: int) -> int:
    """A stream is no result of its own: running until it means until the stage that feeds it."""
    stage = plan.nodes[index].stage
    while stage is not None and not stage.is_stored:
        index = plan.nodes[index].inputs[-1]
        stage = plan.nodes[index].stage
    return index
