"""One dub with all that was asked for beside it: `dubber run` does one, `dubber batch` many."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dubber.config import DubConfig
from dubber.dubbing import dub
from dubber.engine.execute import StageReport
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime, stage_faults
from dubber.errors import ConfigError, DubberError, OutputFolderError
from dubber.outcome import DubResult
from dubber.output import check_encoding, check_output, container_of
from dubber.pipeline import DubPlan, plan_dub
from dubber.preflight import Preflight, Request, quick
from dubber.provenance import Provenance
from dubber.provenance.publishing import check_labels
from dubber.script import Script
from dubber.stages.plugins import file_of


@dataclass(frozen=True)
class Extras:
    """What is written beside the dub; None for nothing.

    Attributes:
        report: An HTML page about the run.
        overlay: A video of what was seen and done in each frame.
        side_by_side: A video with the source on the left and the dub on the right.
        keep_stages: A folder for the intermediates, as files to look at.
    """

    report: Path | None = None
    overlay: Path | None = None
    side_by_side: Path | None = None
    keep_stages: Path | None = None

    @property
    def named(self) -> dict[str, Path]:
        """What is asked for, by what people call it."""
        known = {
            "Report": self.report,
            "Overlay": self.overlay,
            "Side by side": self.side_by_side,
            "Intermediates": self.keep_stages,
        }
        return {name: path for name, path in known.items() if path is not None}

    @property
    def videos(self) -> tuple[Path, ...]:
        """Those that are coded as the dub is."""
        return tuple(path for path in (self.overlay, self.side_by_side) if path is not None)


@dataclass(frozen=True)
class Job:
    """One dub, and what goes with it. Can be pickled.

    Attributes:
        video: People talking.
        said: Who says what when.
        output: The result; its suffix names the container.
        config: Parameters of all stages.
        extras: What is written beside it.
        provenance: What the output says of itself beyond that it was edited.
        curves: What the mouth shall do, edited by the user; None for what the speech asks for.
        name: What people call it; by default the output's name without suffix.
    """

    video: Path
    said: Script
    output: Path
    config: DubConfig = field(default_factory=DubConfig)
    extras: Extras = Extras()
    provenance: Provenance = field(default_factory=Provenance)
    curves: Path | None = None
    name: str = ""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file of the user's that is read."""
        others = (self.curves, file_of(self.config.render.renderer))
        return (self.video, *self.said.files, *(path for path in others if path is not None))


def plan_job(job: Job, runtime: Runtime) -> DubPlan:
    """The plan that `do_job` runs.

    Raises:
        DubberError: See `plan_dub`.
    """
    config = job.config.with_overrides({"remux.container": container_of(job.output)})
    return plan_dub(config, job.video, job.said, runtime=runtime, curves=job.curves)


def look_first(job: Job, runtime: Runtime, *, is_overwrite: bool = False) -> Preflight:
    """What headers tell against the job, before any work.

    Args:
        job: What is asked for.
        runtime: Names the cache and the weights.
        is_overwrite: Existing results may be replaced.

    Raises:
        ConfigError: dubber does not write such a file.
        DubberError: What goes with the dub cannot be written.
    """
    container_of(job.output)  # what was asked comes before what the files hold
    check_labels(job.provenance, job.config)
    _check_extras(job, is_overwrite=is_overwrite, is_whole=True)
    return quick(Request(job.video, job.said, job.output, job.config, runtime, is_overwrite=is_overwrite))


def do_job(
    job: Job,
    *,
    runtime: Runtime,
    progress: Progress | None = None,
    is_overwrite: bool = False,
    from_stage: str | None = None,
    until_stage: str | None = None,
    earlier: tuple[StageReport, ...] = (),
    spent_s: float = 0.0,
) -> DubResult:
    """Make the dub, then what goes with it.

    Args:
        job: What is asked for.
        runtime: Where and how.
        progress: Is told how far it is.
        is_overwrite: Replace existing results.
        from_stage: Make this stage and all after it again.
        until_stage: Stop after this stage: no output is written, and of the extras only the intermediates.
        earlier: What stages did where the job was begun, if it was: they are in the cache now.
        spent_s: Seconds that this took; they count as the job's.

    Raises:
        DubberError: With what is wrong, where, and what to do; where only what goes with the dub could not be
            made, it says that the dub is there.
    """
    progress = progress or SilentProgress()
    _check_extras(job, is_overwrite=is_overwrite, is_whole=until_stage is None)
    runtime = replace(runtime, keeps_all=runtime.keeps_all or job.extras.keep_stages is not None)
    result = dub(
        job.video,
        job.said,
        job.output,
        config=job.config,
        runtime=runtime,
        progress=progress,
        provenance=job.provenance,
        curves=job.curves,
        is_overwrite=is_overwrite,
        from_stage=from_stage,
        until_stage=until_stage,
    )
    result = replace(result, stages=_merged(earlier, result.stages), seconds=result.seconds + spent_s)
    if job.extras.named:
        _write_extras(job, plan_job(job, runtime), runtime, result, progress, is_overwrite=is_overwrite)
    return result


def _merged(earlier: tuple[StageReport, ...], later: tuple[StageReport, ...]) -> tuple[StageReport, ...]:
    """What stages did, where a later run found in the cache what an earlier one had made."""
    made = {report.name: report for report in earlier if not report.is_hit}
    known = {report.name for report in later}
    missing = [report for report in earlier if report.name not in known]
    return (*missing, *(made.get(report.name, report) if report.is_hit else report for report in later))


def _write_extras(
    job: Job, plan: DubPlan, runtime: Runtime, result: DubResult, progress: Progress, *, is_overwrite: bool
) -> None:
    from dubber import intermediates, report

    extras = job.extras
    if extras.keep_stages is not None:
        with _beside(result.output, "intermediates"):
            intermediates.export(plan, runtime, extras.keep_stages)
    if result.output is None:
        return
    how: Any = {"progress": progress, "is_overwrite": is_overwrite}
    if extras.side_by_side is not None:
        with _beside(result.output, "side by side"):
            intermediates.write_side_by_side(plan, runtime, extras.side_by_side, **how)
    if extras.overlay is not None:
        with _beside(result.output, "overlay"):
            intermediates.write_overlay(plan, runtime, extras.overlay, **how)
    if extras.report is not None:
        with _beside(result.output, "report"):
            told = replace(result, warnings=(*_warned_first(job, runtime), *result.warnings))
            report.write_report(plan, runtime, told, extras.report, facts=report.ReportFacts(job.name), **how)


@contextmanager
def _beside(output: Path | None, name: str) -> Iterator[None]:
    """Name what goes with a dub in what fails inside the block, and say where the finished dub is."""
    try:
        with stage_faults(name):
            yield
    except DubberError as error:
        if output is not None:
            error.advice = f"The dub itself is finished: {output}. {error.advice}".rstrip()
        raise


def _warned_first(job: Job, runtime: Runtime) -> tuple[str, ...]:
    """The warnings of `look_first`."""
    found = quick(Request(job.video, job.said, job.output, job.config, runtime, is_overwrite=True))
    return tuple(
        f"{finding.message} {finding.advice}".strip()
        for finding in found.findings
        if finding.level == "warning"
    )


def _check_extras(job: Job, *, is_overwrite: bool, is_whole: bool) -> None:
    """Find out before the work whether what goes with the dub can be written.

    Raises:
        ConfigError: Two of them have one name, or they need a whole run.
        OutputFolderError: One has no folder to lie in, or the intermediates cannot have theirs.
        DubberError: One cannot be written.
    """
    if job.extras.keep_stages is not None:
        _check_folder(job.extras.keep_stages)
    wanted = [path for name, path in job.extras.named.items() if name != "Intermediates"]
    if wanted and not is_whole:
        raise ConfigError(
            "A report, an overlay and a comparison need a finished dub; `--until` stops before it."
        )
    names = [os.path.realpath(path) for path in (job.output, *wanted)]
    for path, name in zip(wanted, names[1:], strict=True):
        if names.count(name) > 1:
            raise ConfigError("Two of the results cannot both have this name.", where=str(path))
    if job.extras.report is not None:
        from dubber.report import check_report

        check_report(job.extras.report, is_overwrite=is_overwrite)
    for path in job.extras.videos:
        check_output(path, inputs=job.inputs, is_overwrite=is_overwrite)
        check_encoding(job.config.with_overrides({"remux.container": container_of(path)}))


def _check_folder(folder: Path) -> None:
    """Make the intermediates' folder.

    Raises:
        OutputFolderError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputFolderError(
            f"The intermediates cannot be written ({error.strerror}).",
            where=str(folder),
            advice="Choose another folder with `--keep-stages`.",
        ) from error
