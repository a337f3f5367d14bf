"""The user's file: its name, whether it can be written, and putting it there whole."""

from __future__ import annotations

import filecmp
import os
import shutil
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

from dubber.config import DubConfig
from dubber.engine.unfinished import part_of, sweep_parts
from dubber.errors import ConfigError, OutputExistsError, OutputFolderError

CONTAINERS = ("mp4", "mov", "m4v", "mkv", "webm", "avi", "ts")
"""Containers an output may have; not every encoder fits every one."""

_KEPT_CONTAINERS = ("mp4", "mov", "m4v", "mkv")
"""Containers that take the default encoder: outputs keep the video's, others become mp4."""


ASSERTION = "dubber.edits"
"""Name of the part of a signed manifest that dubber alone writes."""


def default_output(video: Path) -> Path:
    """Where the result goes when the user does not say: beside the video."""
    suffix = video.suffix.lower() if video.suffix.lower().lstrip(".") in _KEPT_CONTAINERS else ".mp4"
    return video.with_name(f"{video.stem}.dubbed{suffix}")


def container_of(output: Path) -> str:
    """Container named by a file's suffix.

    Raises:
        ConfigError: dubber does not write that container.
    """
    container = output.suffix.lower().lstrip(".")
    if container not in CONTAINERS:
        raise ConfigError(
            f"dubber does not write '{output.suffix or 'files without a suffix'}'.",
            where=str(output),
            advice=f"End the output's name with one of: {', '.join('.' + name for name in CONTAINERS)}.",
        )
    return container


def check_output(output: Path, *, inputs: tuple[Path, ...], is_overwrite: bool) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        ConfigError: The output is one of the inputs, or its suffix is not known.
        OutputExistsError: It exists and may not be replaced, or a stranger's file is in its sidecar's place.
        OutputFolderError: Its folder cannot be written.
    """
    container_of(output)
    if any(path.exists() and output.exists() and path.samefile(output) for path in inputs):
        raise ConfigError("The output is one of the inputs; dubber never changes those.", where=str(output))
    check_place(output, is_overwrite=is_overwrite)


def check_place(output: Path, *, is_overwrite: bool) -> None:
    """Find out before the work whether a file can have this name; its folder is made.

    Raises:
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: Its folder cannot be written.
    """
    if output.is_dir():
        raise OutputFolderError("The output's name is that of a folder.", where=str(output))
    if output.exists() and not is_overwrite:
        raise OutputExistsError("The output is there already.", where=str(output))
    check_sidecar(output)
    probe = part_of(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        sweep_parts(output)
        sweep_parts(sidecar_of(output))
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputFolderError(
            f"The output folder cannot be written ({error.strerror}).", where=str(output.parent)
        ) from error


def check_encoding(config: DubConfig) -> None:
    """Find out before the work whether its result can be encoded.

    Raises:
        ConfigError: The encoder is absent, refuses its settings or does not fit the container.
    """
    from dubber.media.encoders import chosen_encoder
    from dubber.media.encoding import EncodeOptions, check_settings
    from dubber.media.formats import check_container

    remux = config.remux
    wanted = EncodeOptions(remux.vcodec, remux.crf, remux.preset, remux.chroma)
    options = chosen_encoder(wanted, container=remux.container)
    check_container(remux.container, options.codec, remux.crf)
    check_settings(options)


def sidecar_of(output: Path) -> Path:
    """Where what a file's container cannot hold lies beside it: its signed manifest."""
    return output.with_name(f"{output.name}.c2pa")


def check_sidecar(output: Path) -> None:
    """Find out whether a manifest may be put beside an output: those of earlier outputs are replaced.

    Raises:
        OutputExistsError: A file is there that dubber did not write.
    """
    sidecar = sidecar_of(output)
    if sidecar.exists() and not _is_ours(sidecar):
        raise OutputExistsError(
            "A file that dubber did not write has the name of the output's signature.",
            where=str(sidecar),
            advice="Move it away, or choose another name for the output.",
        )


def drop_sidecar(output: Path) -> None:
    """Remove the manifest of an earlier output of that name; a file that dubber did not write stays."""
    if _is_ours(sidecar_of(output)):
        sidecar_of(output).unlink(missing_ok=True)


def _is_ours(sidecar: Path) -> bool:
    try:
        with sidecar.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return data.find(ASSERTION.encode()) >= 0
    except (OSError, ValueError):  # nothing, or an empty file
        return False


class Copy(Protocol):
    """How a finished file becomes the user's."""

    def is_there(self, finished: Path, output: Path) -> bool:
        """Whether an existing output is what `write` would make."""

    def write(self, finished: Path, part: Path, side: Path, output: Path) -> None:
        """Write it.

        Args:
            finished: The file in the cache.
            part: Where it goes.
            side: Where what its container cannot hold may go.
            output: The name that it will have.
        """


class PlainCopy:
    """The same bytes."""

    def is_there(self, finished: Path, output: Path) -> bool:
        """Whether they are."""
        return filecmp.cmp(finished, output, shallow=False)

    def write(self, finished: Path, part: Path, side: Path, output: Path) -> None:  # noqa: ARG002
        """Copy them; see `Copy`."""
        shutil.copyfile(finished, part)


def publish(finished: Path, output: Path, *, is_overwrite: bool, copy: Copy | None = None) -> None:
    """Bring a finished file to the user's name: whole or not at all, and not if it is there already.

    Args:
        finished: The file in the cache.
        output: The user's name for it.
        is_overwrite: Replace an existing file.
        copy: How; default: the same bytes.

    Raises:
        OutputExistsError: A file of that name appeared meanwhile.
        OutputFolderError: The folder cannot be written, or the disk is full.
        StageError: The file could not be signed.
    """
    copy = copy or PlainCopy()
    part, sidecar = part_of(output), sidecar_of(output)
    side = part_of(sidecar)
    try:
        if is_overwrite and output.is_file() and copy.is_there(finished, output):
            return
        copy.write(finished, part, side, output)
        for written in (part, side):
            if written.exists():
                with written.open("rb+") as file:
                    os.fsync(file.fileno())
        if output.exists() and not is_overwrite:
            raise OutputExistsError("The output appeared while dubber was working.", where=str(output))
        if side.exists():  # first: there is never an output that lacks it
            check_sidecar(output)
            side.replace(sidecar)
        part.replace(output)
    except OSError as error:
        raise OutputFolderError(
            f"The output cannot be written ({error.strerror}).", where=str(output)
        ) from error
    finally:
        part.unlink(missing_ok=True)
        side.unlink(missing_ok=True)
