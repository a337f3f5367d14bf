"""How an artefact lies on disk: arrays in one safetensors file, the rest in one JSON file, big files beside.

Works for any frozen dataclass whose fields are arrays, `StoredFile`s (or tuples of them), or values that
pydantic can turn to JSON and back. Nothing is pickled; reading cannot execute code.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import numpy as np
from pydantic import TypeAdapter

from dubber.engine.mapped import map_arrays, write_arrays
from dubber.types import StoredFile

T = TypeVar("T")

ARRAYS_NAME = "arrays.safetensors"
VALUES_NAME = "values.json"


def save_artefact(value: Any, folder: Path) -> None:
    """Write a dataclass into a folder; its `StoredFile`s must lie there already.

    Raises:
        ValueError: A `StoredFile` lies elsewhere.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    values: dict[str, Any] = {}
    hints = get_type_hints(type(value))
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            arrays[field.name] = np.ascontiguousarray(item)
        elif _is_file_hint(hints[field.name]):
            values[field.name] = _file_names(item, folder)
        else:
            values[field.name] = TypeAdapter(hints[field.name]).dump_python(item, mode="json")
    if arrays:
        write_arrays(arrays, folder / ARRAYS_NAME)
    text = json.dumps(values, indent=1, sort_keys=True)
    (folder / VALUES_NAME).write_text(text, encoding="utf-8")


def load_artefact(output_type: type[T], folder: Path) -> T:
    """Read back what `save_artefact` wrote; arrays stay on disk until they are looked at.

    Raises:
        OSError, ValueError and others: The entry is incomplete or damaged; the store turns these into a miss.
    """
    values = json.loads((folder / VALUES_NAME).read_text(encoding="utf-8"))
    arrays_path = folder / ARRAYS_NAME
    arrays = map_arrays(arrays_path) if arrays_path.exists() else {}
    hints = get_type_hints(output_type)
    items: dict[str, Any] = {}
    for field in dataclasses.fields(output_type):  # type: ignore[arg-type]
        hint = hints[field.name]
        if field.name in arrays:
            items[field.name] = arrays[field.name]
        elif field.name not in values:
            raise ValueError(f"the entry lacks '{field.name}'")
        elif hint is StoredFile:
            items[field.name] = StoredFile(inside(folder, values[field.name][0]))
        elif _is_file_hint(hint):
            items[field.name] = tuple(StoredFile(inside(folder, name)) for name in values[field.name])
        else:
            items[field.name] = TypeAdapter(hint).validate_python(values[field.name])
    return output_type(**items)


def inside(folder: Path, name: str) -> Path:
    """A file of a folder by its name.

    Raises:
        ValueError: The name leads elsewhere.
    """
    if not name or Path(name).name != name or name == "..":
        raise ValueError(f"'{name}' is no name of a file")
    return folder / name


def adopt_artefact(value: Any, folder: Path) -> None:
    """Write a dataclass into a folder, and bring its `StoredFile`s there, from elsewhere on the same disk.

    Where the disk can, they stay where they were too, and after a failure they are there in any case: whoever
    goes on finds them.
    """
    hints = get_type_hints(type(value))
    adopted: dict[str, Any] = {}
    paths: list[Path] = []
    for field in dataclasses.fields(value):
        if _is_file_hint(hints[field.name]):
            item = getattr(value, field.name)
            files = (item,) if isinstance(item, StoredFile) else item
            paths += [file.path for file in files]
            there = tuple(StoredFile(folder / file.path.name) for file in files)
            adopted[field.name] = there[0] if isinstance(item, StoredFile) else there
    save_artefact(dataclasses.replace(value, **adopted), folder)
    renamed = []
    try:
        for path in paths:
            try:
                (folder / path.name).hardlink_to(path)
            except (OSError, NotImplementedError):
                renamed.append((path.rename(folder / path.name), path))
    except BaseException:
        for there_now, path in renamed:
            there_now.rename(path)
        raise


def _is_file_hint(hint: Any) -> bool:
    return hint is StoredFile or (get_origin(hint) is tuple and StoredFile in hint.__args__)


def _file_names(item: StoredFile | tuple[StoredFile, ...], folder: Path) -> list[str]:
    files = (item,) if isinstance(item, StoredFile) else item
    for file in files:
        if file.path.parent != folder:
            raise ValueError(f"{file.path} does not lie in the entry's folder")
    return [file.path.name for file in files]
