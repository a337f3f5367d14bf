"""Small ONNX files, written field by field."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def tensor_type(number: int, name: str, shape: list[int]) -> bytes:
    """A graph's input (11) or output (12) of float32."""
    dims = b"".join(field(1, field(1, size)) for size in shape)
    return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))))


def model_file(path: Path, graph: bytes, domain: str = "") -> Path:
    """The graph as a file, with a domain of operators beside the standard one."""
    domains = field(8, field(2, 13)) + (field(8, field(1, domain) + field(2, 1)) if domain else b"")
    path.write_bytes(field(1, 8) + field(7, graph) + domains)
    return path


def write_embedding_network(path: Path, size: int = 48) -> Path:
    """Means of 28 px squares, (1, 3, 112, 112) to (1, 48); mixed at random for another size."""

    def attribute(name: str, values: list[int]) -> bytes:
        return field(5, field(1, name) + b"".join(field(8, value) for value in values) + field(20, 7))

    squares = attribute("kernel_shape", [28, 28]) + attribute("strides", [28, 28])
    pool = field(1, "face") + field(2, "pooled") + field(4, "AveragePool") + squares
    flatten = field(1, "pooled") + field(2, "means") + field(4, "Flatten")
    mix = field(1, "means") + field(1, "weights") + field(2, "embedding") + field(4, "MatMul")
    weights = np.eye(48) if size == 48 else np.random.default_rng(0).normal(size=(48, size))
    constant = field(1, 48) + field(1, size) + field(2, 1) + field(8, "weights")
    constant += field(9, weights.astype("<f4").tobytes())
    ends = tensor_type(11, "face", [1, 3, 112, 112]) + tensor_type(12, "embedding", [1, size])
    nodes = field(1, pool) + field(1, flatten) + field(1, mix)
    return model_file(path, nodes + field(2, "embed") + field(5, constant) + ends)


def write_adding_network(path: Path, *, operator: str = "Add", domain: str = "", stored_in: str = "") -> Path:
    """x + w of four numbers; w may be stored in another file, and the operator be somebody's own."""
    node = field(1, "x") + field(1, "w") + field(2, "y") + field(4, operator)
    weights = field(1, 4) + field(2, 1) + field(8, "w")
    if stored_in:
        place = (("location", stored_in), ("offset", "0"), ("length", "16"))
        weights += b"".join(field(13, field(1, key) + field(2, value)) for key, value in place) + field(14, 1)
    else:
        weights += field(9, bytes(16))
    ends = tensor_type(11, "x", [1, 4]) + tensor_type(12, "y", [1, 4])
    node += field(7, domain) if domain else b""
    return model_file(path, field(1, node) + field(2, "add") + field(5, weights) + ends, domain)
