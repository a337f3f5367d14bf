"""Arrays by what they hold."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


class Samples(Protocol):
    """(S,) float32 samples of a recording, read where they are asked for; an array is one too."""

    def __len__(self) -> int:
        """S."""

    def __getitem__(self, part: slice, /) -> Float32:
        """The samples of a part, as an array's slice without a step."""
