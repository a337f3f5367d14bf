"""Losses of painted mouths, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from dubber.models.discriminator import Discriminator
from dubber.models.painting_losses import (
    feature_matching,
    gradient_penalty,
    least_squares_critic,
    least_squares_painter,
    perceptual,
    total_variation,
    weighted_l1,
)
from dubber.models.vgg import VggFeatures


def test_l1_weighs_pixels() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    made = truth.clone()
    made[..., 0, 0], made[..., 1, 1] = 1.0, 0.5
    weight = torch.tensor([[[[3.0, 0.0], [0.0, 1.0]]]])
    assert float(weighted_l1(made, truth, weight)) == pytest.approx((3 * 1 + 1 * 0.5) / 4)


def test_total_variation_is_a_sum_per_picture() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert float(total_variation(picture)) == pytest.approx(1 + 3 + 0 + 2)
    assert float(total_variation(torch.cat([picture, picture]))) == pytest.approx(6)


def test_least_squares() -> None:
    assert float(least_squares_critic(torch.ones(3), torch.zeros(3))) == 0
    assert float(least_squares_critic(torch.zeros(3), torch.ones(3))) == pytest.approx(1)
    assert float(least_squares_painter(torch.full((2,), 0.5))) == pytest.approx(0.125)


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0)])
def test_gradient_penalty_of_a_linear_critic(slope: float, penalty: float) -> None:
    def critic(pictures: torch.Tensor) -> torch.Tensor:
        return slope * pictures[:, 0, 0, 0]

    filmed, painted = torch.rand(4, 3, 5, 5), torch.rand(4, 3, 5, 5)
    assert float(gradient_penalty(critic, filmed, painted)) == pytest.approx(penalty, abs=1e-5)


def test_gradient_penalty_teaches_the_critic() -> None:
    critic = Discriminator(3, 1, 4, 3)
    gradient_penalty(critic, torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)).backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in critic.parameters())


def test_feature_losses_are_zero_for_the_truth_and_teach_the_picture() -> None:
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 32, 32)
    critic, vgg = Discriminator(3, 1, 4, 3), VggFeatures().requires_grad_(False)
    for loss in (
        lambda made: feature_matching(critic, made, truth),
        lambda made: perceptual(vgg, made, truth),
    ):
        assert float(loss(truth)) == pytest.approx(0, abs=1e-6)
        made = torch.rand(2, 3, 32, 32).requires_grad_()
        loss(made).backward()
        assert made.grad is not None
        assert made.grad.abs().sum() > 0
