"""Identity of a result, known before it exists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEY_SCHEMA = 1
"""Version of the key itself; raising it forgets every stored artefact."""

_CHUNK_BYTES = 1 << 20


def key_document(
    *,
    stage: str,
    version: int,
    params: Mapping[str, Any],
    weights: Mapping[str, str],
    inputs: Sequence[str],
    code: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that tells one result from another.

    Args:
        stage: The stage's name.
        version: The stage's version; raised when its code makes other bytes from the same parameters.
        params: JSON-able parameters, everything that may change the bytes.
        weights: sha256 of each weight used, by name.
        inputs: Keys of the inputs, in order.
        code: What identifies code that is not dubber's own; see `Stage.code`.

    Returns:
        JSON-able; what `artefact_key` is computed from.
    """
    document = {
        "schema": KEY_SCHEMA,
        "stage": stage,
        "version": version,
        "params": params,
        "weights": weights,
        "inputs": list(inputs),
    }
    return {**document, "code": dict(code)} if code else document


def artefact_key(document: Mapping[str, Any]) -> str:
    """Key of what a stage makes.

    Args:
        document: See `key_document`.

    Returns:
        64 hex digits.
    """
    canonical = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in chunks.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
