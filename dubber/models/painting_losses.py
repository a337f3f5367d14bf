"""What painted mouths are judged by while a network learns to paint them.

Index letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dubber.models.discriminator import Discriminator
from dubber.models.vgg import VggFeatures


def weighted_l1(made_BCHW: Tensor, truth_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """Mean absolute difference, some pixels counting more.

    With a weight of 0.5 plus an attention in 0..1 this is ATVGnet's attention-weighted pixel loss.

    Args:
        made_BCHW: Pictures.
        truth_BCHW: What they should be.
        weight_B1HW: Not negative, somewhere positive.

    Source: Chen et al. 2019 (ATVGnet), equation 6.
    """
    difference = ((made_BCHW - truth_BCHW).abs() * weight_B1HW).sum()
    return difference / (weight_B1HW.sum() * made_BCHW.shape[1])


def total_variation(pictures_BCHW: Tensor) -> Tensor:
    """Mean over the batch of the sum of absolute differences of neighbouring pixels.

    Source: Wang et al. 2020 (MEAD), whose weight of 1e-4 is for this sum.
    """
    down = (pictures_BCHW[..., 1:, :] - pictures_BCHW[..., :-1, :]).abs().sum()
    across = (pictures_BCHW[..., 1:] - pictures_BCHW[..., :-1]).abs().sum()
    return (down + across) / len(pictures_BCHW)


def least_squares_critic(filmed: Tensor, painted: Tensor) -> Tensor:
    """What the discriminator minimises: filmed is 1, painted is 0.

    Source: Mao et al. 2017, "Least Squares Generative Adversarial Networks", equation 9.
    """
    return ((filmed - 1) ** 2).mean() / 2 + (painted**2).mean() / 2


def least_squares_painter(painted: Tensor) -> Tensor:
    """What the painter minimises: painted should be taken for filmed. Source: as above."""
    return ((painted - 1) ** 2).mean() / 2


def gradient_penalty(critic: Callable[[Tensor], Tensor], filmed: Tensor, painted: Tensor) -> Tensor:
    """Mean squared deviation of the critic's slope from one, between filmed and painted pictures.

    Args:
        critic: From pictures to scores.
        filmed: (B, C, H, W).
        painted: The same shape.

    Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3.
    """
    share = torch.rand(len(filmed), 1, 1, 1, device=filmed.device)
    between = (share * filmed + (1 - share) * painted).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


def perceptual(net: VggFeatures, made_B3HW: Tensor, truth_B3HW: Tensor) -> Tensor:
    """Sum over VGG's layers of the mean absolute difference of features.

    Source: Johnson et al. 2016; absolute differences and equal weights as in Wang et al. 2020 (MEAD).
    """
    with torch.no_grad():
        wanted = net(truth_B3HW)
    pairs = zip(net(made_B3HW), wanted, strict=True)
    return torch.stack([functional.l1_loss(made, truth) for made, truth in pairs]).sum()


def feature_matching(critic: Discriminator, made_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Mean over the discriminator's levels of the mean absolute difference of what they see.

    The stand-in for VGG where no file is named.

    Source: Wang et al. 2018 (pix2pixHD), equation 4, over the levels of one discriminator.
    """
    with torch.no_grad():
        wanted = critic.features(truth_BCHW)
    pairs = zip(critic.features(made_BCHW), wanted, strict=True)
    return torch.stack([functional.l1_loss(made, truth) for made, truth in pairs]).mean()
