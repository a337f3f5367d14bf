"""A finished dub gets the user's name, and says that it is one."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from dubber.config import DubConfig
from dubber.engine.execute import Run
from dubber.errors import ConfigError, StageError
from dubber.outcome import Labels
from dubber.output import container_of, drop_sidecar, publish
from dubber.pipeline import DubPlan
from dubber.provenance import Provenance
from dubber.provenance.credentials import Credentials
from dubber.provenance.library import EMBEDDED
from dubber.provenance.manifest import facts_of
from dubber.provenance.signing import SignedCopy, credentials_for
from dubber.stages.mark import check_letters
from dubber.types import DubbedVideo

logger = logging.getLogger(__name__)

UNLABELLED = "The output says nowhere that it was edited."


def check_labels(provenance: Provenance, config: DubConfig) -> None:
    """Find out before the work whether its result can be labelled as the user wants it.

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


def signer_of(provenance: Provenance, config: DubConfig) -> Credentials | None:
    """Who will sign a dub; None where nobody does, which is logged where the user did not ask for it.

    Args:
        provenance: Who signs.
        config: Says what is labelled.

    Raises:
        ConfigError: See `check_labels`.
        ToolMissingError: What signs is not installed.
    """
    check_labels(provenance, config)
    return credentials_for(provenance) if config.remux.is_labelled else None


def publish_labelled(
    run: Run,
    dub_plan: DubPlan,
    dubbed: DubbedVideo,
    output: Path,
    signer: Credentials | None,
    *,
    is_overwrite: bool,
) -> Labels:
    """Bring a finished dub to the user's name, signed where it can be.

    Args:
        run: Has the plan's artefacts.
        dub_plan: Its plan.
        dubbed: The finished file.
        output: The user's name for it.
        signer: Who signs; None for nobody. What this computer made for itself may fail: then nobody does.
        is_overwrite: Replace an existing file.

    Returns:
        How it is labelled.

    Raises:
        OutputExistsError: A file of that name appeared meanwhile.
        OutputFolderError: The folder cannot be written, or the disk is full.
        StageError: It cannot be signed.
    """
    config = dub_plan.config
    mark = config.mark.text if config.mark.is_on else ""
    labels = Labels(is_in_metadata=bool(dubbed.label), mark=mark, consent=config.remux.consent)
    if not labels.is_in_metadata:
        logger.warning(UNLABELLED)
    elif signer is not None:
        copy = SignedCopy(facts_of(run, dub_plan, dubbed), signer)
        try:
            publish(dubbed.file.path, output, is_overwrite=is_overwrite, copy=copy)
        except StageError as error:
            if not signer.is_own:
                raise
            logger.warning("%s; its label stands in its metadata alone.", error.message)
        else:
            is_embedded = container_of(output) in EMBEDDED
            if is_embedded:
                drop_sidecar(output)
            return replace(labels, manifest="embedded" if is_embedded else "sidecar", signer=signer.name)
    publish(dubbed.file.path, output, is_overwrite=is_overwrite)
    drop_sidecar(output)
    return labels
