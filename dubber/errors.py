"""Every failure a user can meet: what went wrong, where, and what to do next.

Each class carries its process exit code: the command line turns exceptions into codes, the Python API raises
them.
"""

from __future__ import annotations

from typing import ClassVar


class DubberError(Exception):
    """A failure that the user can understand and act on.

    Args:
        message: What is wrong, in one sentence.
        where: The file, time range or setting it concerns.
        advice: What to do next. Defaults to the class's own advice.
    """

    exit_code: ClassVar[int] = 8
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = advice or self.default_advice

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} {self.advice}" if self.advice else text


class ConfigError(DubberError):
    """An option, config key or combination of them that cannot be meant."""

    exit_code = 2
    default_advice = "See `dubber run --help`."


class OutputFolderError(ConfigError):
    """The output cannot be written where the user asked."""

    default_advice = "Choose a folder you may write to."


class SharedStoreError(ConfigError):
    """The cache that several machines share cannot be reached, read or written."""

    default_advice = (
        "Check the URL or folder of `--shared`, the rights to it, and that every machine sees it."
    )


class MediaError(DubberError):
    """A video or audio file that is missing, broken or lacks what is needed."""

    exit_code = 3
    default_advice = "Check that the file plays in a video player."


class WeightsError(DubberError):
    """Weights that are missing, damaged or of the wrong kind."""

    exit_code = 4
    default_advice = "Run `dubber weights verify`; reinstalling dubber restores its own weights."


class ToolMissingError(DubberError):
    """An external program is needed and absent."""

    exit_code = 5
    default_advice = "Install ffmpeg, or `pip install imageio-ffmpeg`, which carries it."


class NoFaceError(DubberError):
    """No face that can be dubbed in the whole clip."""

    exit_code = 6
    default_advice = "dubber needs a face at least 64 px wide that looks roughly towards the camera."


class DeviceError(DubberError):
    """The chosen device does not exist, or ran out of memory at the smallest batch."""

    exit_code = 7
    default_advice = "Try `--device cpu`."


class StageError(DubberError):
    """A stage failed in a way that is dubber's fault."""

    exit_code = 8
    default_advice = "This is a bug: please report it with the output of the same command run with `-v`."


class WorkerLostError(DubberError):
    """The process that did a job ended again and again: killed, out of memory, or crashed."""

    default_advice = (
        "Memory ran out, most likely: use fewer `--jobs`, or try this file alone with `dubber run -v`."
    )


class OutputExistsError(DubberError):
    """The output file is there already."""

    exit_code = 9
    default_advice = "Pass `--overwrite` to replace it, or choose another name."


class BatchFailedError(DubberError):
    """Some items of a batch failed; the others are done."""

    exit_code = 10
    default_advice = "Finished ones stay as they are; `--retry-failed` tries the failed ones again."


class FileChangedError(DubberError):
    """A file is not as it was signed; the exit code of `dubber verify`."""

    exit_code = 11


EXIT_INTERRUPTED = 130
