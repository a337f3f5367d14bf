"""The prepared painter paints what the network does, picture by picture the same bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from dubber.models import prepared_network, prepared_painter
from dubber.models.hybrid import HybridPainter, to_pictures, to_tensor
from dubber.models.prepared_painter import PreparedPainter
from dubber.types import UInt8

CPU = torch.device("cpu")


def painter(num_exemplars: int = 3) -> HybridPainter:
    """Untaught, but of flows of pixels, shares of all sizes, and residuals."""
    torch.manual_seed(1)
    net = HybridPainter(num_exemplars, 6, 3)
    for name, parameter in net.named_parameters():
        if name.endswith("bias") or name.startswith("unet.decoder.0"):
            torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        flow = net.get_parameter("unet.decoder.0.1.bias")[4 * (3 + num_exemplars) :]
        flow += torch.linspace(-3, 3, len(flow))
    return net


def shown(batch: int, size: tuple[int, int], num_exemplars: int = 3) -> UInt8:
    """Smooth pictures over all levels; the source is hidden."""
    rng = np.random.default_rng(2)
    noise = rng.random((batch, *size, 3 * num_exemplars + 5), np.float32)
    smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 3) for picture in noise])
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    levels = np.asarray(np.rint(255 * (smooth - low) / (high - low)), np.uint8)
    levels[..., -2] = 255
    return levels


def painted_by_the_network(net: HybridPainter, inputs: UInt8) -> UInt8:
    with torch.inference_mode():
        return to_pictures(net(to_tensor(inputs)).picture_B3HW)


@pytest.mark.parametrize("form", ["_painted_on_cpu", "_painted_on_device"])
@pytest.mark.parametrize("size", [(32, 48), (24, 40), (40, 56)])
def test_it_paints_what_the_network_paints(
    form: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form for accelerators runs on a CPU too."""
    monkeypatch.setattr(prepared_network, "convolution_dtype", lambda _: torch.float32)
    net, inputs = painter(), shown(1, size)
    with torch.inference_mode():
        made = getattr(PreparedPainter(net, CPU), form)(inputs)
    expected = painted_by_the_network(net, inputs)
    assert made.dtype == np.uint8
    assert np.std(expected) > 20
    assert len(np.unique(expected[0], axis=1)) > 1
    difference = np.abs(made.astype(int) - expected)
    # OpenCV moves by steps of 1/32 px, and by whole levels.
    assert difference.max() <= (3 if form == "_painted_on_cpu" else 1)
    assert difference.mean() < 0.35


def test_in_half_precision_it_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_network, "convolution_dtype", lambda _: torch.bfloat16)
    net, inputs = painter(), shown(1, (64, 96))
    made = PreparedPainter(net, CPU).paint(inputs)
    assert np.abs(made.astype(int) - painted_by_the_network(net, inputs)).mean() < 1.0


@pytest.mark.parametrize("form", ["paint", "_painted_on_device"])
def test_a_picture_is_the_same_alone_and_among_others(form: str) -> None:
    ready, inputs = PreparedPainter(painter(), CPU), shown(3, (32, 48))
    with torch.inference_mode():
        together = getattr(ready, form)(inputs)
        for picture, alone in zip(together, inputs, strict=True):
            assert (getattr(ready, form)(alone[None])[0] == picture).all()


def test_sizes_may_change_and_later_training_changes_nothing() -> None:
    net = painter()
    ready, inputs = PreparedPainter(net, CPU), shown(1, (32, 48))
    made = ready.paint(inputs)
    assert ready.paint(shown(1, (36, 60))).shape == (1, 36, 60, 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert (ready.paint(inputs) == made).all()
    assert (PreparedPainter(net, CPU).paint(inputs) != made).any()


def test_one_exemplar_without_shares_is_enough() -> None:
    net, inputs = HybridPainter(1, 4, 3), shown(2, (32, 48), 1)
    assert (PreparedPainter(net, CPU).paint(inputs) == inputs[..., :3]).all()


@pytest.mark.parametrize("form", ["_painted_on_cpu", "_painted_on_device"])
@pytest.mark.parametrize("hidden", [(slice(40, 57), slice(70, 101)), (slice(0, 30), slice(100, 128))])
def test_only_around_what_is_hidden_it_paints(form: str, hidden: tuple[slice, slice]) -> None:
    """There, it is what it would be if all were painted."""
    net, inputs = painter(), shown(1, (96, 128))
    inputs[..., -2] = 0
    inputs[0, ..., -2][hidden] = 255
    ready = PreparedPainter(net, CPU)
    with torch.inference_mode():
        made = getattr(ready, form)(inputs)[0].astype(int)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(prepared_painter, "_box", lambda _: ((0, 96), (0, 128)))
            whole = getattr(ready, form)(inputs)[0].astype(int)
    assert (made[hidden] == whole[hidden]).all()
    is_painted = (made != inputs[0, ..., -5:-2]).any(-1)
    rows, columns = np.flatnonzero(is_painted.any(1)), np.flatnonzero(is_painted.any(0))
    for painted, (first, last) in (
        (rows, (hidden[0].start, hidden[0].stop)),
        (columns, (hidden[1].start, hidden[1].stop)),
    ):
        assert first - 12 <= painted[0] <= first
        assert last - 1 <= painted[-1] < last + 12
