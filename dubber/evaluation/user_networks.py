"""The measures that need a network of the user's: off unless its file is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dubber.evaluation.pairs import PairMeasure
from dubber.types import Float32


@dataclass(frozen=True)
class UserNetworks:
    """Files that the user names; None leaves a measure out.

    Attributes:
        syncnet: LSE-D and LSE-C, see `dubber.evaluation.syncnet`.
        arcface: CSIM, see `dubber.evaluation.arcface`.
        fid_features: FID, see `dubber.evaluation.frechet`.
        vgg: Perceptual distance, see `dubber.evaluation.perceptual`.
    """

    syncnet: Path | None = None
    arcface: Path | None = None
    fid_features: Path | None = None
    vgg: Path | None = None

    def check(self) -> None:
        """Find out before the work whether the files are what they should be.

        Raises:
            WeightsError: One is not.
        """
        self.measures(None, None)

    def measures(self, made_samples_S: Float32 | None, filmed_samples_S: Float32 | None) -> list[PairMeasure]:
        """New measures, with nothing measured yet.

        Args:
            made_samples_S: (S,) 16 kHz, what is said in the made pictures; None without sound.
            filmed_samples_S: What is said in the filmed ones.

        Raises:
            WeightsError: A file is not what it should be.
        """
        # torch takes seconds to load and is not needed without such a file.
        found: list[PairMeasure] = []
        if self.syncnet is not None:
            from dubber.evaluation.syncnet import LipSync, SyncNet

            found.append(LipSync(SyncNet.from_file(self.syncnet), made_samples_S, filmed_samples_S))
        if self.arcface is not None:
            from dubber.evaluation.arcface import Identity

            found.append(Identity(self.arcface))
        if self.fid_features is not None:
            from dubber.evaluation.frechet import FrechetDistance

            found.append(FrechetDistance(self.fid_features))
        if self.vgg is not None:
            from dubber.evaluation.perceptual import VggDistance

            found.append(VggDistance(self.vgg))
        return found
