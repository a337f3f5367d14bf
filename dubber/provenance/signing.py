"""Putting a signed manifest into a finished file while it gets the user's name, or beside it."""

from __future__ import annotations

import logging
import mimetypes
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from dubber.engine.key import file_sha256
from dubber.errors import ConfigError, StageError, ToolMissingError
from dubber.output import container_of, sidecar_of
from dubber.provenance import Provenance
from dubber.provenance.credentials import Credentials, own_credentials, read_credentials
from dubber.provenance.library import EMBEDDED, MIME_TYPES, c2pa_library, is_installed, offline_context
from dubber.provenance.manifest import Facts, assertion, definition, ingredient
from dubber.provenance.reading import holds_manifest, read_manifest, read_store
from dubber.types import SourceFile

logger = logging.getLogger(__name__)

_ANY_TYPE = "application/octet-stream"

_SIDECAR = "source.c2pa"
"""Name of what lay beside the source while a manifest is being made."""


def credentials_for(provenance: Provenance) -> Credentials | None:
    """Who signs; None where nothing can be signed here and nobody asked for it, which is logged.

    Raises:
        ConfigError: The certificate and its key are not both there, or cannot sign.
        ToolMissingError: They can, and what signs is not installed.
    """
    certificate, private_key = provenance.certificate, provenance.private_key
    if certificate is None and private_key is None:
        return _own_that_signs()
    if certificate is None or private_key is None:
        raise ConfigError(
            "A certificate and its private key go together.", where="--certificate, --private-key"
        )
    c2pa_library()
    credentials = read_credentials(certificate, private_key)
    if reason := _refusal(credentials):
        raise ConfigError(
            f"The certificate cannot sign: {reason}",
            where=str(certificate),
            advice="C2PA wants digital signature as its key usage, an extended key usage for signing claims, "
            "documents or email, and an authority above it: docs/trust.md.",
        )
    return credentials


def _own_that_signs() -> Credentials | None:
    """What this computer made for itself, made anew where it is refused."""
    if not is_installed():
        logger.info("The output's label is not signed: `pip install 'dubber[c2pa]'` adds what signs.")
        return None
    try:
        for is_anew in (False, True):
            credentials = own_credentials(is_anew=is_anew)
            if credentials is None:
                logger.info("The output's label is not signed: DUBBER_SIGNER is none.")
                return None
            reason = _refusal(credentials)
            if not reason:
                return credentials
    except ToolMissingError as error:
        reason = error.message
    logger.warning("The output's label will stand in its metadata alone, unsigned: %s", reason)
    return None


@dataclass(frozen=True)
class SignedCopy:
    """A copy of a finished file that is signed; see `dubber.output.Copy`.

    Attributes:
        facts: What is signed.
        credentials: Who signs.
    """

    facts: Facts
    credentials: Credentials

    def is_there(self, finished: Path, output: Path) -> bool:
        """Whether the output is this very file, signed by the same signer, and untouched since.

        Two signatures are never the same bytes: what they vouch for is compared.
        """
        there = read_manifest(output)
        if there is None or not there.is_intact:
            return False
        is_same_signer = there.serial_number == str(self.credentials.certificate.serial_number)
        return is_same_signer and there.assertion == assertion(self.facts, file_sha256(finished))

    def write(self, finished: Path, part: Path, side: Path, output: Path) -> None:
        """Write the signed copy, and for some containers its manifest beside it.

        Args:
            finished: The file.
            part: Where the copy goes.
            side: Where the manifest goes if the container cannot hold it.
            output: The name that the copy will have.

        Raises:
            StageError: The library cannot sign it.
        """
        c2pa = c2pa_library()
        container = container_of(output)
        said = definition(self.facts, output.name, file_sha256(finished))
        try:
            with (
                offline_context() as context,
                c2pa.Builder(said, context) as builder,
                _signer(self.credentials) as signer,
                finished.open("rb") as read,
                part.open("w+b") as written,
            ):
                _add_source(builder, self.facts.source)
                if container not in EMBEDDED:
                    builder.set_no_embed()
                manifest = builder.sign(signer, MIME_TYPES[container], read, written)
        except c2pa.C2paError as error:
            raise StageError(
                f"The output could not be signed: {error}",
                where=str(output),
                advice="Name it .mkv, whose signature lies beside it; DUBBER_SIGNER=none signs nothing. This "
                "is a bug: please report it.",
            ) from error
        if container not in EMBEDDED:
            side.write_bytes(manifest)


def _signer(credentials: Credentials) -> Any:
    """A `c2pa.Signer` without an authority for time stamps, which would be asked over the network."""
    c2pa = c2pa_library()
    algorithm = credentials.algorithm.encode()
    return c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(algorithm, credentials.chain_pem, credentials.key_pem, None)
    )


def _add_source(builder: Any, source: SourceFile) -> None:
    """Name the source as what was edited; a manifest that it has, or that lies beside it, is taken over."""
    c2pa = c2pa_library()
    kind = _mime_type(source.path)
    said = ingredient(source, kind)
    try:
        sidecar = sidecar_of(source.path)
        if sidecar.is_file() and not holds_manifest(source.path):
            _add_with_sidecar(builder, said, source.path, sidecar.read_bytes())
            return
        with source.path.open("rb") as file:
            builder.add_ingredient(said, kind, file)
    except c2pa.C2paError:  # what it has is no readable manifest
        builder.add_ingredient(said, _ANY_TYPE, BytesIO(b"\0"))


def _add_with_sidecar(builder: Any, said: dict[str, Any], path: Path, manifest: bytes) -> None:
    """The library looks for an ingredient's manifest within it alone: the one beside it is checked here."""
    store = read_store(path, manifest)
    told = {name: store[name] for name in ("active_manifest", "validation_results")}
    builder.add_resource(_SIDECAR, BytesIO(manifest))
    data = {"format": "application/c2pa", "identifier": _SIDECAR}
    builder.add_ingredient({**said, **told, "manifest_data": data}, _ANY_TYPE, BytesIO(b"\0"))


def _mime_type(path: Path) -> str:
    """What a source is; computers' own lists take `.ts` for other things than a video."""
    kind = MIME_TYPES.get(path.suffix.lower().lstrip(".")) or mimetypes.guess_type(path.name)[0] or ""
    return kind if kind.startswith("video/") else _ANY_TYPE


def _refusal(credentials: Credentials) -> str:
    """What a certificate lacks, found out by signing nothing; "" if it can sign."""
    c2pa = c2pa_library()
    action = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
    said = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    nothing: BinaryIO = BytesIO(b"\0")
    try:
        with (
            offline_context() as context,
            c2pa.Builder(said, context) as builder,
            _signer(credentials) as signer,
        ):
            builder.set_no_embed()
            builder.sign(signer, MIME_TYPES["mkv"], nothing, BytesIO())
    except c2pa.C2paError as error:
        return str(error) or "it is refused"
    return ""
