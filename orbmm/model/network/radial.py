"""Functions of the edge length: the Bessel basis, and the envelope that ends it smoothly at the cutoff."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class BesselBasis(nn.Module):
    """Expand lengths in the functions sqrt(2 / r_max) sin(n pi r / r_max) / r, n = 1 ... count.

    Source: Gasteiger, Groß, Günnemann, Directional Message Passing, ICLR 2020, equation 7.
    The three buffers have the names of the official state dict.
    """

    bessel_weights: Tensor
    r_max: Tensor
    prefactor: Tensor

    def __init__(self, cutoff_angstrom: float, count: int) -> None:
        super().__init__()
        numbers = torch.arange(1, count + 1, dtype=torch.float64)
        self.register_buffer("bessel_weights", math.pi / cutoff_angstrom * numbers)
        self.register_buffer("r_max", torch.tensor(cutoff_angstrom, dtype=torch.float64))
        self.register_buffer("prefactor", torch.tensor(math.sqrt(2.0 / cutoff_angstrom), dtype=torch.float64))

    def forward(self, lengths: Tensor) -> Tensor:
        """Return the functions (E, count) of lengths (E,) [Å], which must not be zero."""
        lengths = lengths[:, None]
        return self.prefactor * torch.sin(self.bessel_weights * lengths) / lengths  # (E, count)


def evaluate_envelope(ratio: Tensor, power: int) -> Tensor:
    """Return the envelope of r / r_max: first and second derivative vanish at 1, and it is exactly zero from 1 on.

    ratio: any shape; returns the same shape. Network edges use power 4, the pair repulsion uses power 6.
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
