"""Add explicit images around a cell, for searches without periodic boundaries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.graph.cell import PeriodicCell, count_images, list_images

IMAGES_TIMES_ATOMS_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class PaddedAtoms:
    """The atoms of a cell together with all image atoms within a radius of it.

    positions: (M, 3) [Å] float64
    atoms: (M,) int64, the atom of each image
    shifts: (M, 3), whole numbers in float64, the cells that the image was moved by
    """

    positions: Tensor
    atoms: Tensor
    shifts: Tensor


def pad_with_images(positions: Tensor, cell: PeriodicCell | None, radius: float) -> PaddedAtoms:
    """Return every image atom that can be within the radius of a wrapped atom.

    An image is kept if each of its fractional coordinates is within radius / height of the cell.
    positions: (N, 3) [Å] float64, wrapped; radius: [Å]
    """
    if cell is None:
        return PaddedAtoms(
            positions, torch.arange(len(positions), device=positions.device), torch.zeros_like(positions)
        )
    fractional = positions @ cell.inverse  # (N, 3)
    reach = radius / torch.tensor(cell.heights, dtype=torch.float64, device=positions.device)  # (3,)
    images = list_images(count_images(cell, radius, spread=1.0), positions.device)  # (I, 3)
    block = max(1, IMAGES_TIMES_ATOMS_AT_ONCE // len(positions))
    kept = []
    for part in images.split(block):
        moved = fractional + part[:, None, :]  # (B, N, 3)
        kept.append(((moved >= -reach) & (moved <= 1.0 + reach)).all(dim=2))
    image, atom = torch.cat(kept).nonzero(as_tuple=True)  # (M,)
    shifts = images[image]  # (M, 3)
    return PaddedAtoms(positions[atom] + shifts @ cell.rows, atom, shifts)
