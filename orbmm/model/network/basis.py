"""Expand an edge vector: Bessel functions of its length with an envelope, spherical harmonics of its direction."""

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


def count_harmonics(max_degree: int) -> int:
    """Return the number of real spherical harmonics with degree <= max_degree."""
    return (max_degree + 1) ** 2


def evaluate_harmonics(directions: Tensor, max_degree: int) -> Tensor:
    """Evaluate all harmonics of degree <= max_degree on unit vectors.

    directions: (E, 3), unit vectors; returns (E, (max_degree + 1)^2). max_degree: 0 to 3
    y is the polar axis. Within a degree the order is m = -l ... l, with x as the "sine" axis and z as the "cosine"
    axis. The squares of one degree sum to 2l + 1 ("component" normalisation of e3nn).
    """
    x, y, z = directions.unbind(dim=-1)
    degrees = (_degree_0, _degree_1, _degree_2, _degree_3)[: max_degree + 1]
    return torch.stack([harmonic for degree in degrees for harmonic in degree(x, y, z)], dim=-1)


def _degree_0(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    return [torch.ones_like(x)]


def _degree_1(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    scale = math.sqrt(3.0)
    return [scale * x, scale * y, scale * z]


def _degree_2(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    scale = math.sqrt(15.0)
    return [
        scale * x * z,
        scale * x * y,
        math.sqrt(5.0) * (y * y - 0.5 * (x * x + z * z)),
        scale * y * z,
        0.5 * scale * (z * z - x * x),
    ]


def _degree_3(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    outer, middle, inner, axis = math.sqrt(35.0 / 8.0), math.sqrt(105.0), math.sqrt(21.0 / 8.0), math.sqrt(7.0)
    across = x * x + z * z
    ring = 4.0 * y * y - across
    return [
        outer * x * (3.0 * z * z - x * x),
        middle * x * y * z,
        inner * x * ring,
        0.5 * axis * y * (2.0 * y * y - 3.0 * across),
        inner * z * ring,
        0.5 * middle * y * (z * z - x * x),
        outer * z * (z * z - 3.0 * x * x),
    ]
