"""What an edited file says of itself under a signature: that it was edited, how, by what, and who agreed.

The signed statement is a C2PA manifest (https://c2pa.org), which c2pa-python writes and reads: the extra
`dubber[c2pa]`. Nothing here talks to a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Provenance:
    """Who signs for a dub. Whether it is signed at all, and who agreed to it, are settings of `remux`.

    Attributes:
        certificate: PEM file with the signer's certificate and those above it; None for one that this
            computer makes for itself.
        private_key: PEM file with its key.
    """

    certificate: Path | None = None
    private_key: Path | None = None
