"""Writing a report: its pictures, its page, and the folder beside it where the film is large."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from dubber.engine.execute import Run
from dubber.engine.key import file_sha256
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, OutputFolderError
from dubber.outcome import DubResult
from dubber.output import check_place, publish
from dubber.pipeline import DubPlan
from dubber.report.facts import ReportFacts
from dubber.report.summary import data_url

MOST_EMBEDDED_BYTES = 16_000_000
"""Film and sound that are larger together lie in a folder beside the page."""

_SUFFIXES = (".html", ".htm")
_DIGEST_LETTERS = 16
_OWN_NAME = re.compile(rf"[0-9a-f]{{{_DIGEST_LETTERS}}}\.(mp4|m4a)")


def check_report(path: Path, *, is_overwrite: bool) -> None:
    """Find out before the work whether a page can be written.

    Raises:
        ConfigError: The name is not that of an HTML file.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: Its folder cannot be written.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError("A report is an HTML file.", where=str(path), advice="End its name with .html.")
    check_place(path, is_overwrite=is_overwrite)


def write_report(
    dub_plan: DubPlan,
    runtime: Runtime,
    result: DubResult,
    path: Path,
    *,
    progress: Progress,
    is_overwrite: bool,
    facts: ReportFacts | None = None,
) -> None:
    """Write the page about a finished run.

    Args:
        dub_plan: The plan that was run.
        runtime: Names the cache and the weights.
        result: What the run did.
        path: An `.html` file. A film of more than `MOST_EMBEDDED_BYTES` lies in the folder "<name>_media"
            beside it.
        progress: Is told of each frame, as "report" and "quality".
        is_overwrite: Replace an existing page.
        facts: What plan and result do not tell.

    Raises:
        ConfigError: The name is not that of an HTML file.
        OutputExistsError: The page exists.
        DubberError: A file cannot be read or written; nothing is left under the page's name.
    """
    from dubber.evaluation.quality import measure_quality
    from dubber.report.compose import contents_of
    from dubber.report.page import report_page
    from dubber.report.pictures import make_pictures

    check_report(path, is_overwrite=is_overwrite)
    facts = facts or ReportFacts()
    run = Run(dub_plan.plan, runtime)
    quality = measure_quality(dub_plan, runtime, progress)
    with tempfile.TemporaryDirectory(prefix="dubber-") as name:
        folder = Path(name)
        pictures = make_pictures(run, dub_plan, folder, progress)
        media = _Media(path, [file for file in (pictures.film, pictures.source_sound) if file is not None])
        addresses = {file: media.address(file) for file in media.files}
        contents = contents_of(run, dub_plan, runtime, result, quality, pictures, addresses, facts)
        page = folder / "page.html"
        page.write_text(report_page(contents), encoding="utf-8")
        media.publish()
        publish(page, path, is_overwrite=is_overwrite)
        media.sweep()


class _Media:
    """The page's film and sound: in the page while they are small, else beside it.

    Files beside it are named by their content: until a new page has its name the old one plays its own film.

    Args:
        page: The page.
        files: The film and perhaps the source's sound.
    """

    def __init__(self, page: Path, files: list[Path]) -> None:
        self._folder = page.with_name(f"{page.stem}_media")
        self._is_embedded = sum(file.stat().st_size for file in files) <= MOST_EMBEDDED_BYTES
        self.files = files
        self._names = {file: f"{_digest(file)}{file.suffix}" for file in files}

    def address(self, file: Path) -> str:
        """Where the page finds a file."""
        if self._is_embedded:
            return data_url("audio/mp4" if file.suffix == ".m4a" else "video/mp4", file.read_bytes())
        return quote(os.fsencode(f"{self._folder.name}/{self._names[file]}"))

    def publish(self) -> None:
        """Put the files where the page will look for them.

        Raises:
            OutputFolderError: The folder cannot be written.
        """
        if self._is_embedded:
            return
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            message = f"The folder of the report's film cannot be made ({error.strerror})."
            raise OutputFolderError(message, where=str(self._folder)) from error
        for file, name in self._names.items():
            publish(file, self._folder / name, is_overwrite=True)

    def sweep(self) -> None:
        """Remove the films of earlier pages of that name."""
        if not self._folder.is_dir():
            return
        kept = set() if self._is_embedded else set(self._names.values())
        for old in self._folder.iterdir():
            if _OWN_NAME.fullmatch(old.name) and old.name not in kept:
                old.unlink(missing_ok=True)
        with suppress(OSError):  # where something is in it
            self._folder.rmdir()


def _digest(file: Path) -> str:
    return file_sha256(file)[:_DIGEST_LETTERS]
