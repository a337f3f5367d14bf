"""A GPU paints what the CPU paints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dubber.models.prepared_painter import PreparedPainter
from tests.models.test_prepared_painter import painter, shown

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_cuda_paints_what_the_cpu_paints() -> None:
    net, inputs = painter(), shown(6, (64, 96))
    cpu = PreparedPainter(net, torch.device("cpu")).paint(inputs)
    cuda = PreparedPainter(net, torch.device("cuda")).paint(inputs)
    # Both round to bfloat16 at most.
    assert np.abs(cpu.astype(int) - cuda).mean() < 1.0


def test_on_cuda_a_picture_is_the_same_alone_and_among_others() -> None:
    ready, inputs = PreparedPainter(painter(), torch.device("cuda")), shown(6, (64, 96))
    together = ready.paint(inputs)
    for picture, alone in zip(together, inputs, strict=True):
        assert (ready.paint(alone[None])[0] == picture).all()


def test_a_gpu_with_little_memory_paints_fewer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    net, inputs = painter(), shown(6, (64, 96))
    wanted = PreparedPainter(net, torch.device("cuda")).paint(inputs)
    ready = PreparedPainter(net, torch.device("cuda"))
    paint, asked = ready._painted_on_device, []

    def short_of_memory(inputs_BHWC: np.ndarray, size: int) -> np.ndarray:
        asked.append(size)
        if size > 1:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")  # torch's own error
        return paint(inputs_BHWC, size)

    monkeypatch.setattr(ready, "_painted_on_device", short_of_memory)
    # For another number of pictures kernels may be others, and round otherwise.
    assert np.abs(ready.paint(inputs).astype(int) - wanted).max() <= 2
    assert asked[:3] == [4, 2, 1]
    ready.paint(inputs)
    assert set(asked[3:]) == {1}, "it does not try again what failed"
