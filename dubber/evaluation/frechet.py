"""FID: how far the set of made faces is from the set of filmed ones, in features of a network of the user's.

Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule".

Index letters: D features.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from scipy import linalg

from dubber.errors import WeightsError
from dubber.evaluation.measures import Measures
from dubber.evaluation.pairs import Pair
from dubber.types import Float64, UInt8

PICTURE_SIZE_PX = 299
_ADVICE = "Give a TorchScript network, such as inception-2015-12-05.pt, whose features FID is usual with."


class FrechetDistance:
    """`fid` of the made 384 crops against the filmed ones, and `fid_frames`, of how many.

    With fewer frames than features (2048 in Inception) the covariances are not of full rank and the number is
    too large; compare only numbers of equally many frames.

    Args:
        path: TorchScript: (B, 3, 299, 299) RGB, uint8 levels 0..255, to (B, D). Where it takes
            `return_features`, as the Inception of StyleGAN's authors does, that is set.

    Raises:
        WeightsError: The file is no such network.
    """

    def __init__(self, path: Path) -> None:
        self._net, self._options = _open(path)
        self._sums = (_Moments(), _Moments())

    def add(self, pair: Pair) -> None:
        """Add both crops' features."""
        pictures = np.stack([_resized(crop) for crop in (pair.made_crop, pair.filmed_crop)])
        for moments, features_D in zip(
            self._sums, _features(self._net, self._options, pictures), strict=True
        ):
            moments.add(features_D)

    def measures(self) -> Measures:
        """The distance; None with fewer than two frames."""
        made, filmed = self._sums
        distance = frechet_distance(*made.fit(), *filmed.fit()) if made.count > 1 else None
        return {"fid": distance, "fid_frames": made.count}


def frechet_distance(mean_D: Float64, covariance_DD: Float64, other_D: Float64, other_DD: Float64) -> float:
    """Frechet distance of two normal distributions: |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).

    Args:
        mean_D: (D,).
        covariance_DD: (D, D).
        other_D: (D,) mean of the other.
        other_DD: (D, D) its covariance.
    """
    # The trace of the root is that of the symmetric root C^(1/2) C' C^(1/2), which has real eigenvalues.
    values, vectors = linalg.eigh(covariance_DD)
    root_DD = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = linalg.eigvalsh(root_DD @ other_DD @ root_DD)
    root_trace = float(np.sqrt(np.maximum(shared, 0)).sum())
    trace = float(np.trace(covariance_DD) + np.trace(other_DD)) - 2 * root_trace
    return float(((mean_D - other_D) ** 2).sum()) + trace


class _Moments:
    """Mean and covariance of features that come one by one (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean_D: Float64 = np.zeros(0)
        self._scatter_DD: Float64 = np.zeros((0, 0))

    def add(self, features_D: Float64) -> None:
        if not self.count:
            self._mean_D = np.zeros(len(features_D))
            self._scatter_DD = np.zeros((len(features_D), len(features_D)))
        self.count += 1
        before_D = features_D - self._mean_D
        self._mean_D = self._mean_D + before_D / self.count
        self._scatter_DD += np.outer(before_D, features_D - self._mean_D)

    def fit(self) -> tuple[Float64, Float64]:
        return self._mean_D, self._scatter_DD / max(self.count - 1, 1)


def _open(path: Path) -> tuple[torch.jit.ScriptModule, dict[str, bool]]:
    if not path.is_file():
        raise WeightsError("There is no feature network.", where=str(path), advice=_ADVICE)
    try:
        net = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        names = [argument.name for argument in net.forward.schema.arguments]
        options = {"return_features": True} if "return_features" in names else {}
        features = _features(net, options, np.zeros((2, PICTURE_SIZE_PX, PICTURE_SIZE_PX, 3), np.uint8))
    except (RuntimeError, AttributeError, ValueError) as error:
        raise WeightsError(
            "The file is no TorchScript network of pictures.", where=str(path), advice=_ADVICE
        ) from error
    if features.ndim != 2 or len(features) != 2:
        raise WeightsError(
            f"The network gives {list(features.shape)} for two pictures instead of (2, D).",
            where=str(path),
            advice=_ADVICE,
        )
    return net, options


def _features(net: torch.jit.ScriptModule, options: dict[str, bool], pictures_BHW3: UInt8) -> Float64:
    with torch.inference_mode():
        levels = torch.from_numpy(pictures_BHW3).permute(0, 3, 1, 2).contiguous()
        features: torch.Tensor = net(levels, **options)
    return np.asarray(features.numpy(), np.float64)


def _resized(crop: UInt8) -> UInt8:
    size = (PICTURE_SIZE_PX, PICTURE_SIZE_PX)
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
