"""Plots as pictures."""

from __future__ import annotations

import io

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dubber.types import UInt8


def picture_of(figure: Figure) -> UInt8:
    """A figure as (H, W, 3) uint8 RGB."""
    with io.BytesIO() as file:
        FigureCanvasAgg(figure)
        figure.savefig(file)
        encoded: UInt8 = np.frombuffer(file.getvalue(), np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)
