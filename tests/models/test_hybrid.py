"""The hybrid painter starts as the mean of its exemplars, and its flows and shares do what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dubber.engine.weights import Weight
from dubber.errors import WeightsError
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor


def inputs(num_exemplars: int = 2, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return to_tensor(rng.integers(0, 256, (1, *size, 3 * num_exemplars + 5), np.uint8))


def test_untaught_it_gives_the_mean_of_the_exemplars() -> None:
    given = inputs()
    painting = HybridPainter(2, 4, 3)(given)
    mean = (given[:, :3] + given[:, 3:6]) / 2
    assert torch.allclose(painting.picture_B3HW, mean, atol=1e-5)
    assert torch.allclose(painting.mixture_B3HW, mean, atol=1e-5)


def test_a_flow_of_a_pixel_moves_an_exemplar_by_a_pixel() -> None:
    net = HybridPainter(1, 4, 3)
    with torch.no_grad():
        # Pixel shuffle spreads four channels over a square: all four of the flow's x.
        net.unet.decoder[0][1].bias[4 * 4 : 4 * 5] = 1.0
    given = inputs(1)
    picture = net(given).picture_B3HW
    assert torch.allclose(picture[..., 1:-2], given[:, :3, :, 2:-1], atol=1e-4)


def test_shares_choose_an_exemplar_and_the_residual_is_added() -> None:
    net = HybridPainter(2, 4, 3)
    with torch.no_grad():
        net.unet.decoder[0][1].bias[4 * 4 : 4 * 5] = 10.0
        net.unet.decoder[0][1].bias[:4] = 0.25
    given = inputs()
    painting = net(given)
    assert torch.allclose(painting.mixture_B3HW, given[:, 3:6], atol=1e-4)
    assert torch.allclose(painting.picture_B3HW[:, 0], given[:, 3] + 0.25, atol=1e-4)
    assert torch.allclose(painting.picture_B3HW[:, 1:], given[:, 4:6], atol=1e-4)


def test_it_is_written_and_read() -> None:
    torch.manual_seed(0)
    net = HybridPainter(3, 6, 4)
    torch.nn.init.normal_(net.unet.decoder[0][1].weight, std=0.01)
    again = HybridPainter.from_weight(Weight(net.to_arrays(), {}))
    assert again.num_exemplars == 3
    given = inputs(3)
    assert torch.allclose(again(given).picture_B3HW, net(given).picture_B3HW, atol=0.02)


def test_a_painter_laid_out_channels_last_is_written_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = HybridPainter(2, 6, 3)
    save_file(net.to_arrays(), tmp_path / "plain")
    save_file(net.to(memory_format=torch.channels_last).to_arrays(), tmp_path / "last")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "last").read_bytes()


def test_another_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="no hybrid painter"):
        HybridPainter.from_weight(Weight({"a": np.zeros(3, np.float32)}, {}))


def test_pictures_become_tensors_and_back() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 5, 6, 3), np.uint8)
    assert (to_pictures(to_tensor(pictures)) == pictures).all()
