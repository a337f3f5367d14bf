"""Fetching a model of the catalogue: verified, and whole or not at all.

Of an archive only the files that the catalogue lists are taken, by their names and sizes, so nothing in it
can choose where it is written or how much.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from filelock import FileLock, Timeout

from dubber.engine.disk import check_space
from dubber.engine.download import SCHEMES, Told, download
from dubber.engine.user_models import ModelEntry, ModelFile, ModelsFolder, verify_file
from dubber.errors import OutputFolderError, WeightsError

_CHUNK_BYTES = 2**18


def fetch(
    folder: ModelsFolder,
    name: str,
    entry: ModelEntry,
    told: Told | None = None,
    schemes: tuple[str, ...] = SCHEMES,
) -> Path:
    """Download a model and put it into the folder.

    Whoever calls this has shown the licence and had it accepted. A download that is cut short stays as a
    `.part` file and goes on from there.

    Args:
        folder: Where to.
        name: The model's.
        entry: Its row.
        told: Hears of progress.
        schemes: What the address and all it redirects to may begin with.

    Returns:
        The folder with the files.

    Raises:
        WeightsError: The download failed or is not the file that the catalogue names.
        OutputFolderError: The folder cannot be written, or its disk is full.
    """
    part = folder.root / f"{name}.part"
    with _writing(folder, name, entry):
        if not part.exists() or part.stat().st_size < entry.num_bytes:
            download(entry.url, part, entry.num_bytes, told, schemes)
        try:
            verify_file(part, entry.num_bytes, entry.sha256)
        except WeightsError:
            part.unlink()
            raise
        made = _install(folder, name, entry, part)
        part.unlink()
    return made


def import_file(folder: ModelsFolder, name: str, entry: ModelEntry, source: Path) -> Path:
    """Put a model that was downloaded by hand into the folder, with the same checks; as `fetch`.

    Args:
        folder: Where to.
        name: The model's.
        entry: Its row.
        source: What the publisher's address gives, unchanged.

    Raises:
        WeightsError: It is missing or is not the file that the catalogue names.
        OutputFolderError: As `fetch`.
    """
    try:
        verify_file(source, entry.num_bytes, entry.sha256)
    except OSError as error:
        raise WeightsError(f"The file cannot be read ({error.strerror}).", where=str(source)) from error
    with _writing(folder, name, entry):
        return _install(folder, name, entry, source)


@contextmanager
def _writing(folder: ModelsFolder, name: str, entry: ModelEntry) -> Iterator[None]:
    """Be the only one that puts this model into the folder, and say what is wrong with that if it fails."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        check_space([(folder.root, entry.num_bytes + sum(file.num_bytes for file in entry.files))])
        with FileLock(folder.root / f"{name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise WeightsError(
            f"Another dubber is fetching '{name}'.", where=str(folder.root), advice="Wait until it is done."
        ) from error
    except OSError as error:
        raise OutputFolderError(
            f"The folder of models cannot be written ({error.strerror}).",
            where=str(folder.root),
            advice="Choose another with the variable DUBBER_MODELS.",
        ) from error


def _install(folder: ModelsFolder, name: str, entry: ModelEntry, source: Path) -> Path:
    """Make the model's folder from what was downloaded and verified."""
    new, target = folder.root / f"{name}.new", folder.folder(name)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        if entry.is_archive:
            _unpack(source, entry.files, new)
        else:
            shutil.copyfile(source, new / entry.files[0].name)
        for file in entry.files:
            verify_file(new / file.name, file.num_bytes, file.sha256)
        licence = f"{entry.licence}\n{entry.licence_text}\n\n{entry.licence_url}\n{entry.url}\n"
        (new / "LICENCE.txt").write_text(licence, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return target


def _unpack(source: Path, files: tuple[ModelFile, ...], target: Path) -> None:
    """Write the files that are wanted, none longer than it should be.

    Raises:
        WeightsError: It is no archive, lacks one, or holds a member that would leave its folder.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                path = PurePosixPath(member.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in member:
                    raise WeightsError(
                        f"The archive's member '{member}' leaves its folder.", where=str(source)
                    )
            for file in files:
                with archive.open(file.name) as packed, (target / file.name).open("xb") as out:
                    _copy(packed, out, file.num_bytes)
    except KeyError as error:
        raise WeightsError(f"The archive lacks a file: {error.args[0]}.", where=str(source)) from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise WeightsError(f"The archive cannot be unpacked: {error}.", where=str(source)) from error


def _copy(packed: IO[bytes], out: IO[bytes], num_bytes: int) -> None:
    """As many bytes as there should be, or one more where there are more, which its check will tell."""
    left = num_bytes + 1
    while left and (chunk := packed.read(min(_CHUNK_BYTES, left))):
        out.write(chunk)
        left -= len(chunk)
