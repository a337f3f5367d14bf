"""What an edited file says of itself: that it was edited, how, by what, and who agreed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Provenance:
    """What is told of a dub beyond what the dub itself tells.

    Attributes:
        consent: Who agreed to it, in words; empty where nobody said so.
        consent_file: A document that says who agreed; recorded by name and sha256.
        certificate: Chain of the signer's certificates, PEM; None for one that this computer makes
            for itself.
        private_key: The key of the first of them, PEM.
    """

    consent: str = ""
    consent_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
