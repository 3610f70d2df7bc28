"""The periodic cell: checks, wrapping of positions into it, and its images within a distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.errors import StructureError

THINNEST_ANGSTROM = 0.1  # between opposite faces; no crystal is as thin, and thinner cells need thousands of images
FLATTEST = 1e-6  # volume / product of the edge lengths; three float32 vectors in one plane give about 1e-7


@dataclass(frozen=True)
class PeriodicCell:
    """A cell that passed all checks, in float64.

    rows: (3, 3) [Å], the three cell vectors, on the device of the atoms
    inverse: (3, 3) [1/Å], fractional = positions @ inverse
    heights: distances between opposite faces [Å], on the host
    """

    rows: Tensor
    inverse: Tensor
    heights: tuple[float, float, float]


def check_cell(cell: Tensor, device: torch.device) -> PeriodicCell:
    """Check a cell and return it with its inverse and heights in float64.

    cell: (3, 3) rows [Å]; device: of the atoms
    Raises StructureError unless the rows are three finite, right-handed vectors that span a volume.
    """
    rows = cell.detach().to("cpu", torch.float64)  # one transfer: all checks run on the host
    if rows.shape != (3, 3):
        raise StructureError(f"the cell has shape {tuple(rows.shape)}; expected (3, 3), one cell vector per row")
    if not bool(torch.isfinite(rows).all()):
        raise StructureError("the cell holds NaN or infinite numbers; expected three finite vectors in Å")
    volume = float(torch.dot(rows[0], torch.linalg.cross(rows[1], rows[2])))
    box = math.prod(rows.norm(dim=1).tolist())
    if abs(volume) <= FLATTEST * box:
        raise StructureError(
            "the cell has no volume: its vectors are zero or lie in one plane; "
            "pass cell=None for a molecule without a cell"
        )
    if volume < 0:
        raise StructureError(f"the cell is left-handed (volume {volume:.6g} Å^3); exchange two of its vectors")
    inverse = torch.linalg.inv(rows)
    first, second, third = inverse.norm(dim=0).reciprocal().tolist()
    if min(first, second, third) < THINNEST_ANGSTROM:
        raise StructureError(
            f"the cell is {min(first, second, third):.3g} Å thin between two of its faces; expected at least "
            f"{THINNEST_ANGSTROM} Å; check the unit of the cell vectors (Å)"
        )
    return PeriodicCell(rows.to(device), inverse.to(device), (first, second, third))


def wrap(positions: Tensor, cell: PeriodicCell) -> tuple[Tensor, Tensor]:
    """Move positions into the cell; return the wrapped positions and the number of cells they were moved by.

    positions: (N, 3) [Å], float64, inside or outside the cell
    Returns wrapped (N, 3) [Å] and images (N, 3), whole numbers in float64, with positions = wrapped + images @ rows.
    Fractional coordinates of wrapped are in [0, 1) within rounding.
    """
    images = (positions @ cell.inverse).floor()  # (N, 3)
    return positions - images @ cell.rows, images


def count_images(cell: PeriodicCell, radius: float, spread: float) -> tuple[int, int, int]:
    """Return for each axis the number of cells to either side that can hold an atom within the radius.

    radius: [Å]; spread: largest difference of fractional coordinates between two atoms before images are added (1 for
    wrapped atoms, 1/2 for the nearest image). The fractional component of an edge is at most radius / height.
    """
    first, second, third = (math.floor(radius / height + spread) for height in cell.heights)
    return first, second, third


def list_images(counts: tuple[int, int, int], device: torch.device) -> Tensor:
    """Return all image offsets up to the counts: (I, 3), whole numbers in float64, in lexicographic order."""
    axes = [torch.arange(-count, count + 1, dtype=torch.float64, device=device) for count in counts]
    return torch.cartesian_prod(*axes)  # (I, 3)
