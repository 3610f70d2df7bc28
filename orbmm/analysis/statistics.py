"""Means of correlated series: block averaging and the equilibration cut.

Source: Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989); the block length by Lee et al., Phys. Rev. E 83,
066706 (2011); the cut by Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEWEST_BLOCKS = 4
_CUTS_TRIED = 21


@dataclass(frozen=True)
class BlockAverage:
    """A mean with its standard error.

    error: standard error of the mean, in the unit of the series; NaN when there are fewer than four samples.
    inefficiency: how many samples make one independent one, at least 1.
    converged: False when the series is too short for the error to have levelled off; the true error may be larger.
    """

    mean: float
    error: float
    inefficiency: float
    converged: bool


def average_blocks(series: NDArray[np.float64]) -> BlockAverage:
    """Return the mean of a correlated series (n,) and its standard error.

    Neighbours are averaged pairwise again and again; the error grows until blocks are independent. The shortest
    block of B samples with B^3 > 2 n (error_B / error_1)^4 is long enough; without one, the largest error is given.
    """
    series = np.asarray(series, dtype=np.float64)
    errors = _list_errors(series)
    if not errors or errors[0] == 0.0:
        return BlockAverage(_mean(series), errors[0] if errors else math.nan, 1.0, bool(errors))
    for level, error in enumerate(errors):
        if (2**level) ** 3 > 2 * len(series) * (error / errors[0]) ** 4:
            return BlockAverage(_mean(series), error, max(1.0, (error / errors[0]) ** 2), True)
    worst = max(errors)
    return BlockAverage(_mean(series), worst, max(1.0, (worst / errors[0]) ** 2), False)


def find_equilibration(series: NDArray[np.float64]) -> int:
    """Return the index from which the series (n,) is best taken as equilibrated, within its first half.

    It is the cut that leaves most independent samples: a drift at the start makes the rest look correlated.
    """
    candidates = np.unique(np.linspace(0, len(series) // 2, _CUTS_TRIED).astype(int))
    independent = [(len(series) - cut) / average_blocks(series[cut:]).inefficiency for cut in candidates]
    return int(candidates[int(np.argmax(independent))])


def _list_errors(series: NDArray[np.float64]) -> list[float]:
    """Return the standard error of the mean that blocks of 1, 2, 4, ... samples give, down to four blocks."""
    errors = []
    while len(series) >= _FEWEST_BLOCKS:
        errors.append(float(series.std(ddof=1)) / math.sqrt(len(series)))
        paired = series[: len(series) // 2 * 2]
        series = 0.5 * (paired[0::2] + paired[1::2])
    return errors


def _mean(series: NDArray[np.float64]) -> float:
    return float(series.mean()) if len(series) else math.nan
