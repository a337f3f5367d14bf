"""The only file that asks torch what hardware exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dubber.errors import DeviceError

if TYPE_CHECKING:
    import torch

DeviceKind = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Device:
    """A device decision that carries its reason.

    Attributes:
        kind: "cpu", "cuda" or "mps".
        index: Which one.
        reason: Why it was chosen, for the log.
    """

    kind: DeviceKind
    index: int = 0
    reason: str = ""

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
    if wish == "cpu":
        return Device("cpu", reason="asked for")
    import torch

    kind, _, index_text = wish.partition(":")
    if index_text and not index_text.isdigit():
        raise DeviceError(f"'{wish}' is no device.", advice="Use auto, cpu, mps, cuda or cuda:N.")
    index = int(index_text or 0)
    num_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if wish == "auto":
        if num_cuda:
            return Device("cuda", 0, reason=torch.cuda.get_device_name(0))
        if has_mps:
            return Device("mps", 0, reason="Apple GPU")
        return Device("cpu", reason="no GPU found")
    if kind == "cuda" and index < num_cuda:
        return Device("cuda", index, reason="asked for")
    if kind == "mps" and has_mps:
        return Device("mps", 0, reason="asked for")
    if kind in ("cuda", "mps"):
        raise DeviceError(f"The device '{wish}' is not available here ({num_cuda} CUDA devices).")
    raise DeviceError(f"'{wish}' is no device.", advice="Use auto, cpu, mps, cuda or cuda:N.")


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
    """Let torch compute on so many threads meanwhile.

    Args:
        count: Threads; 0 leaves them as they are. Small networks want 1: more would wait for each other, and
            their number changes the last bits of what is computed.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
