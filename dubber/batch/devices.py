"""Which GPU a worker takes, where there are several."""

from __future__ import annotations

from dubber.engine.device import count_cuda


def shared_out(wish: str, number: int, num_cuda: int) -> str:
    """The device of one of several workers: they take turns in having the GPUs.

    Args:
        wish: The user's: "auto", "cpu", "mps", "cuda", or "cuda:N", which holds for all workers.
        number: Of the worker, from 0.
        num_cuda: GPUs of CUDA that there are.

    Returns:
        The device as `choose_device` takes it.
    """
    if wish not in ("auto", "cuda") or num_cuda < 2:
        return wish
    return f"cuda:{number % num_cuda}"


def device_of_worker(wish: str, number: int) -> str:
    """See `shared_out`, with the GPUs of this machine."""
    # Counting loads torch, and the first worker has what is the usual one anyway.
    return shared_out(wish, number, count_cuda()) if number and wish in ("auto", "cuda") else wish
