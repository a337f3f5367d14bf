"""The painting network and its judge: sizes as printed, any picture size, gradients everywhere."""

from __future__ import annotations

import pytest
import torch

from dubber.models.discriminator import Discriminator
from dubber.models.unet import InpaintingUNet


def num_parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_papers_networks_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        assert f"{num_parameters(InpaintingUNet()) / 1e6:.1f}" == "75.0"
        assert f"{num_parameters(InpaintingUNet(base_width=32)) / 1e6:.1f}" == "18.8"
        assert f"{num_parameters(Discriminator()) / 1e6:.1f}" == "15.4"


@pytest.mark.parametrize("size", [(192, 288), (128, 128), (100, 170)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    net = InpaintingUNet(base_width=4).eval()
    with torch.no_grad():
        assert net(torch.randn(2, 28, *size)).shape == (2, 21, *size)


def test_padding_changes_only_what_lies_at_the_rim() -> None:
    net = InpaintingUNet(4, 3, 4, 2).eval()
    picture = torch.randn(1, 4, 128, 128)
    with torch.no_grad():
        whole, part = net(picture), net(picture[..., 32:94, 32:94])
    # 62 is padded by one on either side, so the part stands in another phase of the grid: shift it back.
    with torch.no_grad():
        same_phase = net(picture[..., 31:95, 31:95])
    assert part.shape[-2:] == (62, 62)
    torch.testing.assert_close(part[..., 16:-16, 16:-16], same_phase[..., 17:-17, 17:-17])
    with torch.no_grad():
        aligned = net(picture[..., 32:96, 32:96])
    torch.testing.assert_close(aligned[..., 16:-16, 16:-16], whole[..., 48:80, 48:80], atol=1e-5, rtol=1e-4)


def test_every_weight_learns_and_the_output_keeps_its_scale() -> None:
    torch.manual_seed(0)
    net = InpaintingUNet(base_width=8)
    made = net(torch.randn(1, 28, 128, 256))
    assert 0.1 < float(made.detach().std()) < 10
    made.square().mean().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in net.parameters())


def test_sizes_are_read_off_the_arrays() -> None:
    sizes = {"in_channels": 12, "out_channels": 9, "base_width": 6, "num_levels": 5}
    state = {f"net.{name}": value for name, value in InpaintingUNet(**sizes).state_dict().items()}
    assert InpaintingUNet.sizes_of(state, "net.") == sizes
    with pytest.raises(KeyError):
        InpaintingUNet.sizes_of(state)


def test_the_discriminator_learns_to_tell() -> None:
    torch.manual_seed(0)
    judge = Discriminator(4, 1, 8, 4)
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
    smooth = torch.nn.functional.interpolate(torch.randn(8, 4, 8, 8), scale_factor=8, mode="bicubic")
    rough = smooth + 0.5 * torch.randn(8, 4, 64, 64)
    for _ in range(30):
        loss = (judge(smooth) - 1).square().mean() + judge(rough).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert float(judge(smooth).min()) > float(judge(rough).max())
    assert [tuple(level.shape[1:]) for level in judge.features(smooth)] == [
        (8, 32, 32),
        (16, 16, 16),
        (32, 8, 8),
        (64, 4, 4),
    ]
    assert Discriminator(4, 7, 8, 4)(torch.randn(2, 4, 96, 144)).shape == (2, 7)
