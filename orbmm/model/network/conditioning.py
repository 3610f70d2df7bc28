"""Total charge and spin multiplicity as a vector that is added in every layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class WaveEmbedding(nn.Module):
    """Embed a number as sines and cosines of learned frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(width // 2))

    def forward(self, values: Tensor) -> Tensor:
        """Return the embedding (B, width) of values (B,)."""
        phase = 2.0 * math.pi * values[:, None] * self.W
        return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)  # (B, width)


class ChargeSpinConditioner(nn.Module):
    """Embed charge and multiplicity, each in half of a vector; multiplicity 0 means unknown and gives zeros."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.charge_embedding = WaveEmbedding(latent_dim // 2)
        self.spin_embedding = WaveEmbedding(latent_dim // 2)

    def forward(self, charges: Tensor, multiplicities: Tensor) -> Tensor:
        """Return (B, latent_dim) for charges [e] and multiplicities, (B,) each."""
        spin = self.spin_embedding(multiplicities) * (multiplicities != 0)[:, None]
        return torch.cat([self.charge_embedding(charges), spin], dim=-1)  # (B, D)
