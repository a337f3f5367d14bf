"""Many dubs, one after the other: a failed one does not stop the rest, finished ones stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dubber.config import DubConfig
from dubber.dubbing import dub
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, DubberError, OutputExistsError
from dubber.outcome import DubResult
from dubber.output import default_output

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac")


@dataclass(frozen=True)
class Job:
    """One dub of a batch."""

    video: Path
    audio: Path
    output: Path


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes:
        job: The job.
        state: "done" now, "skipped" because its output was there, or "failed".
        result: What a done job did.
        error: Why a job failed.
    """

    job: Job
    state: Literal["done", "skipped", "failed"]
    result: DubResult | None = None
    error: DubberError | None = None


def find_jobs(folder: Path, output_dir: Path) -> list[Job]:
    """Pair videos and audios of a folder by name: `a.mp4` with `a.wav`.

    Args:
        folder: Where to look; not below it.
        output_dir: Where results go, as `a.mp4`.

    Raises:
        ConfigError: No such folder, no pair in it, a name with two videos or two audios, or the results would
            overwrite the inputs.
    """
    if not folder.is_dir():
        raise ConfigError(
            "There is no such folder.", where=str(folder), advice="Give one with videos and audios."
        )
    if output_dir.exists() and output_dir.resolve() == folder.resolve():
        raise ConfigError(
            "The output folder is the input folder.", where=str(folder), advice="Choose another with -o."
        )
    videos = _by_stem(folder, VIDEO_SUFFIXES)
    audios = _by_stem(folder, AUDIO_SUFFIXES)
    jobs = [
        Job(videos[stem], audios[stem], output_dir / default_output(videos[stem]).with_stem(stem).name)
        for stem in sorted(videos.keys() & audios.keys())
    ]
    if not jobs:
        raise ConfigError(
            f"No pair was found among {len(videos)} videos and {len(audios)} audios.",
            where=str(folder),
            advice="Give the speech the video's name: a.mp4 with a.wav.",
        )
    return jobs


def run_batch(
    jobs: Sequence[Job],
    *,
    config: DubConfig,
    runtime: Runtime,
    progress: Progress,
    is_overwrite: bool = False,
    on_result: Callable[[JobResult], None] = lambda _: None,
) -> list[JobResult]:
    """Run jobs in order.

    Args:
        jobs: What to do.
        config: Parameters of all stages, the same for every job.
        runtime: Device, cache and weights.
        progress: Is told how far the current job is.
        is_overwrite: Do finished ones again.
        on_result: Called after each job.

    Returns:
        One result per job, in order.
    """
    results = []
    for job in jobs:
        result = _run_job(job, config, runtime, progress, is_overwrite)
        on_result(result)
        results.append(result)
    return results


def _run_job(
    job: Job, config: DubConfig, runtime: Runtime, progress: Progress, is_overwrite: bool
) -> JobResult:
    try:
        done = dub(
            job.video,
            job.audio,
            job.output,
            config=config,
            runtime=runtime,
            progress=progress,
            is_overwrite=is_overwrite,
        )
    except OutputExistsError:
        return JobResult(job, "skipped")
    except DubberError as error:
        return JobResult(job, "failed", error=error)
    return JobResult(job, "done", result=done)


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in found:
            raise ConfigError(
                f"Two files are named '{path.stem}': {found[path.stem].name} and {path.name}.",
                where=str(folder),
                advice="Rename or move one of them.",
            )
        found[path.stem] = path
    return found
