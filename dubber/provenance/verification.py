"""What a file tells of its being edited, and whether that still holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dubber.errors import ConfigError
from dubber.media.edits import Edits, read_edits
from dubber.output import sidecar_of
from dubber.provenance.credentials import OWN_NAME
from dubber.provenance.library import is_installed
from dubber.provenance.reading import Manifest, holds_manifest, read_manifest


class Verdict(str, Enum):
    """What can be said of a file."""

    signed = "signed"
    """A signature holds: the file is as it was signed."""
    changed = "changed"
    """It was changed since it was signed."""
    unsigned = "unsigned"
    """It says that it was edited; nothing shows whether it was changed since."""
    unread = "unread"
    """It is signed; what reads the signature is not installed."""
    nothing = "nothing"
    """It says nothing. That does not mean that it is an original."""


@dataclass(frozen=True)
class Verification:
    """What a file tells.

    Attributes:
        path: The file.
        verdict: What can be said of it.
        edits: What dubber changed, the first time first: as it is signed, or else as the metadata tell.
        manifest: The signed manifest; None where there is none, or it was not read.
    """

    path: Path
    verdict: Verdict
    edits: tuple[Edits, ...] = ()
    manifest: Manifest | None = None

    @property
    def is_own(self) -> bool:
        """Whether the signer's certificate says that a computer made it for itself."""
        return self.manifest is not None and self.manifest.signer == OWN_NAME

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        manifest = self.manifest
        return {
            "file": str(self.path),
            "verdict": self.verdict.value,
            "edits": [each.model_dump(mode="json") for each in self.edits],
            "manifest": None
            if manifest is None
            else {
                "sidecar": None if manifest.sidecar is None else str(manifest.sidecar),
                "failures": list(manifest.failures),
                "generator": manifest.generator,
                "signer": manifest.signer,
                "is_signer_trusted": manifest.is_trusted,
                "is_made_by_own_computer": self.is_own,
                "signed_at": manifest.signed_at,
                "actions": manifest.actions,
                "signed": manifest.assertion,
            },
        }


def verify(path: Path, trusted: Path | None = None) -> Verification:
    """Read what a file says of its being edited, and check it against the file. Nothing is fetched.

    Args:
        path: A video.
        trusted: PEM file with certificates of authorities that are trusted.

    Raises:
        MediaError: It is missing or no media file.
        ConfigError: The certificates cannot be read.
    """
    told = read_edits(path)
    if not is_installed():
        is_signed = sidecar_of(path).is_file() or holds_manifest(path)
        unsigned = Verdict.unsigned if told else Verdict.nothing
        return Verification(path, Verdict.unread if is_signed else unsigned, told)
    manifest = read_manifest(path, _anchors(trusted))
    if manifest is None:
        return Verification(path, Verdict.unsigned if told else Verdict.nothing, told)
    verdict = Verdict.signed if manifest.is_intact else Verdict.changed
    return Verification(path, verdict, _signed_edits(manifest, told), manifest)


def _signed_edits(manifest: Manifest, told: tuple[Edits, ...]) -> tuple[Edits, ...]:
    """What the manifest tells of the last edit, and the metadata of those before."""
    try:
        return (*told[:-1], Edits.model_validate(manifest.assertion))
    except ValidationError:  # another program's, or one that cannot be read
        return told


def _anchors(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        pem = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(f"The certificates cannot be read ({error}).", where=str(path)) from error
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise ConfigError("The file holds no PEM certificate.", where=str(path))
    return pem
