"""Arrays that stay on disk until they are looked at: what is known of a long film need not fit in memory."""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
import weakref
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_DTYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2"}
_DTYPES |= {"U16": "<u2", "U32": "<u4", "U64": "<u8", "F32": "<f4", "F64": "<f8"}
"""Names of the safetensors format, and numpy's."""

_PORTION = 1_000_000
"""Numbers that are written at a time."""

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_mapped_lock = threading.Lock()


def map_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a safetensors file, read-only.

    Args:
        path: Must not be changed while an array lives; it may be removed where the system allows that.

    Raises:
        OSError: The file cannot be read.
        ValueError, LookupError, TypeError, AttributeError, RecursionError: It is damaged.

    Source: the safetensors format, https://github.com/huggingface/safetensors#format.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise ValueError(f"{path} is no safetensors file")
        header = json.loads(file.read(length))
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _remember(mapping)
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        start, stop = entry["data_offsets"]
        is_inside = 0 <= start <= stop <= len(mapping) - 8 - length and min(shape, default=0) >= 0
        if not is_inside or stop - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{path}: the size of '{name}' is not that of its shape")
        arrays[name] = np.frombuffer(
            mapping, dtype, count=math.prod(shape), offset=8 + length + start
        ).reshape(shape)
    return arrays


def write_arrays(arrays: dict[str, np.ndarray[Any, Any]], path: Path) -> None:
    """Write a safetensors file, little by little: mapped arrays never come into memory as a whole.

    Args:
        arrays: By name, in C order.
        path: A new file.

    Raises:
        OSError: The disk is full or cannot be written.
        KeyError: The format does not know the type of an array.
    """
    # The widest first: each then lies at a multiple of its width.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    names = {np.dtype(numpy_name): name for name, numpy_name in _DTYPES.items()}
    header, offset = {}, 0
    for name, array in arrays.items():
        stop = offset + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            flat = array.reshape(-1)
            for start in range(0, flat.size, _PORTION):
                file.write(flat[start : start + _PORTION].data)
                forget_pages()


def scratch_array(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """A new array of zeros that lies in a file, like those of `map_arrays`, but may be written to.

    Args:
        path: A new file, of no worth afterwards.
        shape: Its shape.
        dtype: Its type.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if not num_bytes:
        return np.zeros(shape, dtype)
    with path.open("xb+") as file:
        _reserve(file, num_bytes)
        mapping = mmap.mmap(file.fileno(), num_bytes)
    _remember(mapping)
    return np.frombuffer(mapping, dtype).reshape(shape)


def _reserve(file: BinaryIO, num_bytes: int) -> None:
    """Take the room now: a mapped file that finds none when it is written to kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, num_bytes)
        return
    for start in range(0, num_bytes, _PORTION):
        file.write(bytes(min(_PORTION, num_bytes - start)))
    file.flush()


def _remember(mapping: mmap.mmap) -> None:
    with _mapped_lock:
        _mapped.add(mapping)


def forget_pages() -> None:
    """Give back the memory of all mapped arrays; what is looked at again is read again.

    To be called now and then by whoever goes through arrays from beginning to end.
    """
    if not hasattr(mmap, "MADV_DONTNEED"):  # Windows trims by itself
        return
    with _mapped_lock:
        mappings = list(_mapped)
    for mapping in mappings:
        if not mapping.closed:
            mapping.madvise(mmap.MADV_DONTNEED)
