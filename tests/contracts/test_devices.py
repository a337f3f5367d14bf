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
