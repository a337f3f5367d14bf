"""Putting trained weights where dubber finds them: a safetensors file and its row in the manifest."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from dubber.engine.key import file_sha256
from dubber.engine.weights import MANIFEST_NAME, WeightEntry, WeightsFolder
from dubber.errors import OutputFolderError

_HEADER = "# Weights for dubber. `dubber weights verify` checks the files against this list.\n"


def save_weight(folder: Path, name: str, arrays: dict[str, Any], entry: dict[str, Any]) -> WeightEntry:
    """Write a weight and list it in the folder's manifest; other rows stay.

    Args:
        folder: Weights folder; made if absent.
        name: Row of the manifest, and the file's name without `.safetensors`.
        arrays: Numpy arrays by name.
        entry: The row's fields except `file` and `sha256`.

    Returns:
        The row.

    Raises:
        OutputFolderError: The folder cannot be written.
        WeightsError: An existing manifest is malformed.
    """
    # One key of metadata only: safetensors does not keep an order among several, and equal weights shall be
    # equal bytes.
    # And in C order: safetensors writes memory as it lies.
    in_order = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    return _put(folder, name, save(in_order, metadata={"name": name}), entry)


def copy_weight(source: WeightsFolder, name: str, folder: Path) -> WeightEntry:
    """Put a weight of one folder into another, byte for byte, with its row.

    Args:
        source: Where it is.
        name: Which.
        folder: Weights folder; made if absent.

    Returns:
        The row.

    Raises:
        OutputFolderError: The folder cannot be written.
        WeightsError: The weight is missing or damaged, or an existing manifest is malformed.
    """
    source.verify(name)
    entry = source.entry(name).model_dump(exclude={"file", "sha256"})
    return _put(folder, name, source.path(name).read_bytes(), entry)


def _put(folder: Path, name: str, data: bytes, entry: dict[str, Any]) -> WeightEntry:
    """Write a weight's file and then its row, each whole or not at all."""
    path = folder / f"{name}.safetensors"
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest_path = folder / MANIFEST_NAME
        rows = WeightsFolder(folder).manifest if manifest_path.exists() else {}
        part.write_bytes(data)
        part.replace(path)
        row = WeightEntry.model_validate({**entry, "file": path.name, "sha256": file_sha256(path)})
        part.write_text(_toml({**rows, name: row}), encoding="utf-8")
        part.replace(manifest_path)
    except OSError as error:
        raise OutputFolderError(
            f"The weights folder cannot be written ({error.strerror}).", where=str(folder)
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return row


def _toml(rows: dict[str, WeightEntry]) -> str:
    """The manifest's text. JSON's strings and booleans are TOML's."""
    tables = []
    for name in sorted(rows):
        fields = rows[name].model_dump(mode="json")
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
        tables.append("\n".join([f"[{name}]", *lines]))
    return _HEADER + "".join(f"\n{table}\n" for table in tables)
