"""The interface of a neighbour search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from orbmm.graph.cell import PeriodicCell


@dataclass(frozen=True)
class Candidates:
    """Directed pairs of atoms, each pair and image at most once, in any order.

    senders, receivers: (E,) int64
    shifts: (E, 3), whole numbers in float64, cells to add to the position of the receiver
    """

    senders: Tensor
    receivers: Tensor
    shifts: Tensor


class Search(Protocol):
    """Find every pair closer than a radius; farther pairs, and an atom with itself, may be among the candidates."""

    def __call__(self, positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
        """Return candidates for positions (N, 3) [Å] float64, wrapped if there is a cell, and a radius [Å]."""
        ...


def join(parts: list[Candidates]) -> Candidates:
    """Join several sets of candidates to one."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        torch.cat([part.senders for part in parts]),
        torch.cat([part.receivers for part in parts]),
        torch.cat([part.shifts for part in parts]),
    )
