"""CSIM: whether the made face is still the same person, as an ArcFace network of the user's sees it."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np

from dubber.evaluation.measures import Measures
from dubber.evaluation.pairs import Pair
from dubber.tracking.arcface import ArcFace, upright, upright_similarity


class Identity:
    """`csim`: mean cosine similarity of the made and the filmed face's embeddings; 1 is the same picture.

    Both faces are brought upright by the filmed one's landmarks.

    Args:
        path: ArcFace network as ONNX: (B, 3, 112, 112) RGB, (level - 127.5) / 127.5, to (B, D).

    Raises:
        WeightsError: onnxruntime is not installed, or the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        self._network = ArcFace(path)
        self._similarities: list[float] = []

    def add(self, pair: Pair) -> None:
        """Embed both faces."""
        similarity_23 = upright_similarity(pair.landmarks_L3)
        faces = np.stack([upright(picture, similarity_23) for picture in (pair.made, pair.filmed)])
        made_D, filmed_D = self._network.embed(faces)
        lengths = float(np.linalg.norm(made_D) * np.linalg.norm(filmed_D))
        self._similarities.append(float(made_D @ filmed_D) / max(lengths, 1e-12))

    def measures(self) -> Measures:
        """The mean."""
        return {"csim": statistics.fmean(self._similarities) if self._similarities else None}
