"""Contact sheets: what a stage saw and what it made, for the eye.

Faces and mouths are shown at least at the resolution they were rendered at; small ones are enlarged.

Index letters: N output frames, T source frames, n chosen frames.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dubber.engine.execute import Run
from dubber.engine.progress import Progress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, OutputExistsError, OutputFolderError
from dubber.intermediates.drawing import write_png
from dubber.intermediates.drawn_stages import SHEETS
from dubber.intermediates.look import Look
from dubber.output import publish
from dubber.pipeline import DubPlan
from dubber.types import UInt8

_FINISHING = ("teeth", "deflicker")
"""Stages that can be switched off."""


def stage_sheet(
    stage: str, dub_plan: DubPlan, runtime: Runtime, progress: Progress, *, num_frames: int = 12
) -> UInt8:
    """Draw the sheet of a stage; what it needs is made or taken from the cache.

    Args:
        stage: One of `SHEETS`.
        dub_plan: The plan.
        runtime: Device, cache and weights.
        progress: Is told of the stages.
        num_frames: Moments shown, spread evenly over the clip; curves and slices show all they can.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ConfigError: The stage has no sheet, or the settings leave it out.
        NoFaceError: No frame shows a usable face.
        DubberError: A stage failed.
    """
    if stage not in SHEETS:
        raise ConfigError(f"There is no sheet of '{stage}'.", advice=f"Sheets: {', '.join(SHEETS)}.")
    if stage in _FINISHING and stage not in dub_plan.plan.stage_names():
        raise ConfigError(f"The stage '{stage}' is switched off.", advice=f"Try `--set {stage}.is_on=true`.")
    return SHEETS[stage](Look(dub_plan, runtime, Run(dub_plan.plan, runtime, progress), num_frames))


def check_sheet(output: Path, *, is_overwrite: bool) -> None:
    """Find out before the work whether a sheet can be written.

    Raises:
        ConfigError: The name is not that of a PNG file.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: It has no folder to lie in.
    """
    if output.suffix.lower() != ".png":
        raise ConfigError("A sheet is a PNG file.", where=str(output), advice="End its name with .png.")
    if output.exists() and not is_overwrite:
        raise OutputExistsError("The sheet is there already.", where=str(output))
    if not output.parent.is_dir():
        raise OutputFolderError("The sheet's folder does not exist.", where=str(output.parent))


def write_sheet(sheet: UInt8, output: Path, *, is_overwrite: bool) -> None:
    """Write a sheet whole or not at all.

    Args:
        sheet: (H, W, 3) uint8 RGB.
        output: A `.png` file.
        is_overwrite: Replace an existing file.

    Raises:
        OutputExistsError: It appeared meanwhile.
        OutputFolderError: The folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dubber-") as folder:
        finished = Path(folder) / output.name
        write_png(finished, sheet)
        publish(finished, output, is_overwrite=is_overwrite)
