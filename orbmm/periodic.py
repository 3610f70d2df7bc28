"""Nearest images in a periodic box, in any unit of length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def take_nearest(vectors: NDArray[Any], box: NDArray[Any]) -> NDArray[np.float64]:
    """Return vectors (..., 3) between nearest images. box: (3, 3), rows are vectors, in the unit of the vectors

    Exact for vectors shorter than half the smallest width of the box.
    """
    return np.asarray(vectors - np.round(vectors @ np.linalg.inv(box)) @ box)
