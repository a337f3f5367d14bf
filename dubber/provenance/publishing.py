"""A finished dub gets the user's name, and says that it is one."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.errors import ConfigError
from dubber.media.edits import edits_in
from dubber.outcome import Labels
from dubber.output import container_of, publish, sidecar_of
from dubber.pipeline import DubPlan
from dubber.provenance import Provenance
from dubber.provenance.library import EMBEDDED, is_installed
from dubber.provenance.manifest import facts_of
from dubber.provenance.signing import SignedCopy, credentials_for
from dubber.stages.mark import check_letters
from dubber.types import DubbedVideo

logger = logging.getLogger(__name__)

UNLABELLED = "The output says nowhere that it was edited."


def check_labels(provenance: Provenance, config: DubConfig) -> None:
    """Find out before the work whether its result can be labelled.

    Args:
        provenance: Who signs.
        config: Says what is labelled.

    Raises:
        ConfigError: The certificate and its key are not both there, or cannot sign; nothing is signed; the
            mark has letters that cannot be written.
        ToolMissingError: What signs is not installed.
    """
    if config.mark.is_on:
        check_letters(config.mark.text)
    if provenance == Provenance():
        return
    if not config.remux.is_labelled:
        raise ConfigError(
            "An output without labels is not signed.",
            where="--unlabelled, --certificate",
            advice="Leave one of them out.",
        )
    credentials_for(provenance)


def publish_labelled(
    run: Run,
    dub_plan: DubPlan,
    dubbed: DubbedVideo,
    output: Path,
    provenance: Provenance,
    *,
    is_overwrite: bool,
) -> Labels:
    """Bring a finished dub to the user's name, signed where it can be.

    Args:
        run: Has the plan's artefacts.
        dub_plan: Its plan.
        dubbed: The finished file.
        output: The user's name for it.
        provenance: Who signs.
        is_overwrite: Replace an existing file.

    Returns:
        How it is labelled.

    Raises:
        OutputExistsError: A file of that name appeared meanwhile.
        OutputFolderError: The folder cannot be written, or the disk is full.
        DubberError: It cannot be signed.
    """
    mark = dub_plan.config.mark.text if dub_plan.config.mark.is_on else ""
    if not dubbed.label:
        logger.warning(UNLABELLED)
        publish(dubbed.file.path, output, is_overwrite=is_overwrite)
        sidecar_of(output).unlink(missing_ok=True)  # an earlier output's
        return Labels(mark=mark)
    (edits,) = edits_in(dubbed.label)
    said = Labels(is_in_metadata=True, mark=mark, consent=edits.consent)
    credentials = credentials_for(provenance)
    if credentials is None:
        how = "DUBBER_SIGNER is none" if is_installed() else "`pip install 'dubber[c2pa]'` adds what signs"
        logger.info("The output's label is not signed: %s.", how)
        publish(dubbed.file.path, output, is_overwrite=is_overwrite)
        sidecar_of(output).unlink(missing_ok=True)
        return said
    copy = SignedCopy(facts_of(run, dub_plan, dubbed), credentials)
    publish(dubbed.file.path, output, is_overwrite=is_overwrite, copy=copy)
    is_embedded = container_of(output) in EMBEDDED
    if is_embedded:
        sidecar_of(output).unlink(missing_ok=True)
    return replace(said, manifest="embedded" if is_embedded else "sidecar", signer=credentials.name)
