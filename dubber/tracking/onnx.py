"""Networks of the user's in ONNX files: data that onnxruntime computes with, never code.

A session is made from the file's bytes, with the operators that come with onnxruntime and no others: an
operator it does not know is an error, and libraries of custom operators are never registered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dubber.errors import WeightsError

MAX_BYTES = 2**30
"""More than any network that is used here has."""


def open_network(path: Path, what: str, advice: str) -> Any:
    """An `onnxruntime.InferenceSession` on one thread of the processor: the same numbers on every machine.

    Args:
        path: The file.
        what: What it should be, with its article, for messages.
        advice: Where to get one.

    Raises:
        WeightsError: onnxruntime is not installed, or the file is missing or no network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError(
            "The file is an ONNX network, and onnxruntime is not installed.",
            where=str(path),
            advice="Run `pip install 'dubber[insightface]'`.",
        ) from error
    if not path.is_file():
        raise WeightsError(f"There is no {what}.", where=str(path), advice=advice)
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(f"The file is too large for {what}.", where=str(path), advice=advice)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        # Its fallback to other providers, of which there are none, writes to stdout.
        return onnxruntime.InferenceSession(
            path.read_bytes(),
            sess_options=options,
            providers=["CPUExecutionProvider"],
            enable_fallback=False,
        )
    except OSError as error:
        raise WeightsError(f"The file cannot be read ({error.strerror}).", where=str(path)) from error
    except Exception as error:  # onnxruntime's errors share no class below Exception
        raise WeightsError(f"The file is no {what}.", where=str(path), advice=advice) from error
