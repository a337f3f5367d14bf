"""The only file that asks torch what hardware exists, and that says how many threads libraries use.

On the CPU a run is parallel by its stages, which work beside each other in threads of their own. Networks
this small gain little from more threads inside; waiting for each other, these spin and take the processor
from the other stages: on two cores a run with torch's two threads takes half as much processor time again.
So each network computes on one thread unless the user asks for more.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from dubber.errors import DeviceError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

DeviceKind = Literal["cpu", "cuda", "mps"]

_LIBRARY_VARIABLES = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""What BLAS libraries and OpenCV look at when they are loaded. Torch looks at MKL's: that is left alone."""

_TURN_S = 0.0005
"""A thread that waits for Python lets the other one go on for so long."""


@dataclass(frozen=True)
class _Choice:
    kind: DeviceKind
    index: int
    reason: str


class Device:
    """A device decision that carries its reason.

    Args:
        kind: "cpu", "cuda" or "mps". None: the best one here, looked for when it is first asked for, since
            finding out means loading torch, which takes longer than many a run.
        index: Which one.
        reason: Why it was chosen, for the log.
    """

    def __init__(self, kind: DeviceKind | None, index: int = 0, reason: str = "") -> None:
        self._wish = None if kind is None else _Choice(kind, index, reason)

    @cached_property
    def _choice(self) -> _Choice:
        choice = self._wish or _best()
        logger.info("Device: %s (%s)", choice.kind, choice.reason)
        return choice

    @property
    def kind(self) -> DeviceKind:
        """One of "cpu", "cuda" and "mps"."""
        return self._choice.kind

    @property
    def index(self) -> int:
        """Which one of its kind."""
        return self._choice.index

    @property
    def reason(self) -> str:
        """Why it was chosen."""
        return self._choice.reason

    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        import torch

        return torch.device("cpu") if self.kind == "cpu" else torch.device(self.kind, self.index)


def choose_device(wish: str = "auto") -> Device:
    """Turn a user's wish into a device that exists.

    Args:
        wish: "auto", "cpu", "mps", "cuda" or "cuda:N".

    Raises:
        DeviceError: The wished device does not exist here.
    """
    if wish == "auto":
        return Device(None)
    if wish == "cpu":
        return Device("cpu", reason="asked for")
    kind, _, index_text = wish.partition(":")
    if kind not in ("cuda", "mps") or (index_text and not index_text.isdigit()):
        raise DeviceError(f"'{wish}' is no device.", advice="Use auto, cpu, mps, cuda or cuda:N.")
    index = int(index_text or 0)
    num_cuda, has_mps = _gpus()
    if kind == "cuda" and index < num_cuda:
        return Device("cuda", index, reason="asked for")
    if kind == "mps" and has_mps:
        return Device("mps", 0, reason="asked for")
    raise DeviceError(f"The device '{wish}' is not available here ({num_cuda} CUDA devices).")


def count_cuda() -> int:
    """How many CUDA devices there are here."""
    return _gpus()[0]


def _best() -> _Choice:
    import torch

    num_cuda, has_mps = _gpus()
    if num_cuda:
        return _Choice("cuda", 0, torch.cuda.get_device_name(0))
    if has_mps:
        return _Choice("mps", 0, "Apple GPU")
    return _Choice("cpu", 0, "no GPU found")


def _gpus() -> tuple[int, bool]:
    """How many CUDA devices there are, and whether there is an Apple GPU."""
    import torch

    num_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return num_cuda, torch.backends.mps.is_available()


def convolution_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device is faster at it, float32 elsewhere.

    Args:
        device: Where convolutions run. Of CPUs, those with AVX-512 BF16 or AMX qualify.
    """
    import torch

    # Older versions of torch cannot tell.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    is_cpu_able = device.type == "cpu" and any(
        capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16")
    )
    is_able = is_cpu_able or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    return torch.bfloat16 if is_able else torch.float32


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Let convolutions run in the device's `convolution_dtype`."""
    import torch

    dtype = convolution_dtype(device)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads meanwhile, in the thread that calls.

    Args:
        count: Threads; 0 leaves them as they are. Their number changes the last bits of what is computed.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def library_threads(count: int) -> Iterator[None]:
    """Let numpy, scipy and OpenCV compute on so many threads meanwhile, in the whole process.

    Their pieces of work are small here, and a library's threads spin between them. Libraries that are loaded
    meanwhile keep the number. Python's own threads, which hand frames to each other, take turns sooner:
    measured, a run changes threads a third less often so. Of several at a time the first sets the number, and
    the last restores what was.

    Args:
        count: Threads.
    """
    with _limits_lock:
        if not _limits:
            _limits.append(_Limits(count))
        limits = _limits[0]
        limits.num_users += 1
    try:
        yield
    finally:
        with _limits_lock:
            limits.num_users -= 1
            if not limits.num_users:
                limits.restore()
                _limits.clear()


class _Limits:
    """What was, before libraries were limited."""

    def __init__(self, count: int) -> None:
        from threadpoolctl import threadpool_limits

        self.num_users = 0
        self._variables = {name: os.environ.get(name) for name in _LIBRARY_VARIABLES}
        os.environ.update(dict.fromkeys(_LIBRARY_VARIABLES, str(count)))
        self._turn_s = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        self._opencv: Any = sys.modules.get("cv2")  # not worth loading for this
        self._num_opencv = self._opencv.getNumThreads() if self._opencv else 0
        if self._opencv:
            self._opencv.setNumThreads(count)
        self._pools = threadpool_limits(limits=count, user_api="blas")

    def restore(self) -> None:
        """Let it be so again."""
        self._pools.restore_original_limits()
        sys.setswitchinterval(self._turn_s)
        if self._opencv:
            self._opencv.setNumThreads(self._num_opencv)
        for name, value in self._variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_limits: list[_Limits] = []
_limits_lock = threading.Lock()
