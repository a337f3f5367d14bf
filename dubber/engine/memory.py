"""Telling too little memory from a bug, whichever library met it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from dubber.errors import DeviceError

Out = TypeVar("Out")

_WORDS = (
    "out of memory",
    "not enough memory",
    "insufficient memory",
    "cannot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "can't start new thread",
    "failed to map segment",
)
"""torch, OpenCV, FFmpeg, C++, Python and the loader of libraries, each in its own words."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__
    return False


def memory_error(stage: str = "") -> DeviceError:
    """What to tell a user whose memory is too small.

    Args:
        stage: The stage that was run; "" for none.
    """
    where = f" (stage '{stage}')" if stage else ""
    return DeviceError(
        f"The memory is too small{where}.",
        advice="Close other programs, try `--device cpu` if this was a GPU, or scale the video down first.",
    )


def with_smaller_batches(call: Callable[[int], Out], batch_size: int) -> tuple[Out, int]:
    """Do something that works on batches; where memory runs out, again with half as many at a time.

    Args:
        call: Is given the number of items to work on at a time.
        batch_size: The number to begin with, at least 1.

    Returns:
        What `call` returned, and the number that it worked with.

    Raises:
        MemoryError, RuntimeError: Memory runs out with one item at a time, too.
    """
    while True:
        try:
            return call(batch_size), batch_size
        except (MemoryError, RuntimeError) as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
        # Only now: while the error is held, so is the memory of what failed.
        _forget_device_memory()
        batch_size //= 2


def _forget_device_memory() -> None:
    """Give back what torch keeps for later."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
