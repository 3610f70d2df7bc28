"""The polynomial that brings everything smoothly to zero at a cutoff."""

from __future__ import annotations

from torch import Tensor


def evaluate_envelope(ratio: Tensor, power: int) -> Tensor:
    """Envelope of r / r_max with vanishing first and second derivative at 1; exactly zero from there on.

    ratio: any shape; returns the same shape. Network edges use power 4, the pair repulsion power 6.
    Source: Gasteiger, Groß, Günnemann, Directional Message Passing, ICLR 2020, equation 8.
    """
    p = float(power)
    polynomial = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * ratio**power
        + p * (p + 2.0) * ratio ** (power + 1)
        - p * (p + 1.0) / 2.0 * ratio ** (power + 2)
    )
    return polynomial * (ratio < 1.0)
