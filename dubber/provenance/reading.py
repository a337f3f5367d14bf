"""Reading a file's C2PA manifest, from within it or from the file beside it, and checking it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dubber.output import ASSERTION, sidecar_of
from dubber.provenance.library import MIME_TYPES, c2pa_library, offline_context

_OF_SIGNER = "signingCredential."
"""Failures of that name concern who signed, not what."""

_MARK = b"jumdc2pa"
"""How the box begins that holds a manifest. Source: C2PA specification 2.2, manifest store."""

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Manifest:
    """What is signed, and whether it still holds.

    Attributes:
        document: The active manifest as c2pa-python has it; empty where it cannot be read.
        failures: What does not hold, as C2PA's codes; none where the file is as it was signed.
        is_trusted: Whether a trusted authority vouches for the signer.
        sidecar: The file that it was in; None where the video itself holds it.
    """

    document: dict[str, Any]
    failures: tuple[str, ...]
    is_trusted: bool
    sidecar: Path | None = None

    @property
    def is_intact(self) -> bool:
        """Whether file and manifest are as they were signed."""
        return not self.failures

    @property
    def generator(self) -> str:
        """What made the file."""
        made = (self.document.get("claim_generator_info") or [{}])[0]
        return f"{made.get('name', '')} {made.get('version', '')}".strip()

    @property
    def signer(self) -> str:
        """The signer's name, as their certificate has it."""
        info = self._signature
        return str(info.get("common_name") or info.get("issuer") or "")

    @property
    def serial_number(self) -> str:
        """Of the signer's certificate."""
        return str(self._signature.get("cert_serial_number", ""))

    @property
    def actions(self) -> list[dict[str, Any]]:
        """What was done, as C2PA tells it."""
        every = [*self._assertions("c2pa.actions"), *self._assertions("c2pa.actions.v2")]
        return [action for each in every for action in each.get("actions", [])]

    @property
    def assertion(self) -> dict[str, Any]:
        """What dubber signed beyond C2PA's own words; empty where the file is another program's."""
        return next(iter(self._assertions(ASSERTION)), {})

    @property
    def signed_at(self) -> str:
        """When, by the signer's own clock; ISO 8601."""
        stamped = self._signature.get("time")
        return str(stamped or max((str(each.get("when", "")) for each in self.actions), default=""))

    @property
    def _signature(self) -> dict[str, Any]:
        return dict(self.document.get("signature_info") or {})

    def _assertions(self, label: str) -> list[dict[str, Any]]:
        found = (each for each in self.document.get("assertions", []) if each.get("label") == label)
        return [each["data"] for each in found if isinstance(each.get("data"), dict)]


_UNREADABLE = Manifest({}, ("manifest.unreadable",), is_trusted=False)


def read_manifest(path: Path, anchors_pem: str = "") -> Manifest | None:
    """A file's manifest, checked against its bytes; None where it has none.

    Args:
        path: A video.
        anchors_pem: Certificates of authorities that are trusted.

    Raises:
        OSError: A file cannot be read.
        ToolMissingError: The library is not installed.
    """
    embedded = _read(path, None, anchors_pem)
    if embedded is not None:
        return embedded
    sidecar = sidecar_of(path)
    if sidecar.is_file():
        return _read(path, sidecar, anchors_pem) or replace(_UNREADABLE, sidecar=sidecar)
    return _UNREADABLE if holds_manifest(path) else None


def _read(path: Path, sidecar: Path | None, anchors_pem: str) -> Manifest | None:
    """The manifest in a file or beside it; None where there is none that can be read."""
    beside = None if sidecar is None else sidecar.read_bytes()
    try:
        return _checked(read_store(path, beside, anchors_pem), sidecar)
    except c2pa_library().C2paError:
        return None


def read_store(path: Path, beside: bytes | None, anchors_pem: str = "") -> dict[str, Any]:
    """All manifests of a file, checked against its bytes, as c2pa-python tells them.

    Args:
        path: A video.
        beside: Its sidecar's bytes; None for what the video itself holds.
        anchors_pem: Certificates of authorities that are trusted.

    Raises:
        OSError: The file cannot be read.
        C2paError: There is no readable manifest.
    """
    kind = MIME_TYPES.get(path.suffix.lower().lstrip("."))
    with (
        offline_context(anchors_pem) as context,
        path.open("rb") as file,
        c2pa_library().Reader(kind, file, beside, context) as reader,
    ):
        told: dict[str, Any] = json.loads(reader.json())
        return told


def holds_manifest(path: Path) -> bool:
    """Whether there is a manifest in a file, readable or not."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if _MARK in before + chunk:
                return True
            before = chunk[-len(_MARK) :]
    return False


def _checked(told: dict[str, Any], sidecar: Path | None = None) -> Manifest:
    """The active manifest of a store."""
    document = told.get("manifests", {}).get(told.get("active_manifest"), {})
    results = (told.get("validation_results") or {}).get("activeManifest") or {}
    codes = [str(failure.get("code", "")) for failure in results.get("failure", [])]
    failures = tuple(code for code in codes if not code.startswith(_OF_SIGNER))
    return Manifest(document, failures, told.get("validation_state") == "Trusted", sidecar)
