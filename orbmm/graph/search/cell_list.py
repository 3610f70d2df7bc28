"""The cell list of nvalchemi-toolkit-ops (Warp kernels): the search for many atoms on a GPU."""

from __future__ import annotations

import math

import torch
from nvalchemiops.torch.neighbors import neighbor_list
from torch import Tensor

from orbmm.errors import GraphError
from orbmm.graph.cell import PeriodicCell
from orbmm.graph.search.protocol import Candidates

MOLECULE_CAPACITY = 160  # neighbours per atom tried first without a cell; water has about 90 within 6 Å
CROWDING = 1.5  # local density over average density that fits in the first table


def search_cell_list(positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
    """Return candidates from a table of neighbours per atom, which is made again if an atom has more than fit.

    positions: (N, 3) [Å] float64; radius: [Å]. Raises GraphError if the second table overflows too.
    """
    capacity = _estimate_capacity(len(positions), cell, radius)
    table, counts, shifts = _fill_table(positions, cell, radius, capacity)
    fullest = int(counts.max())
    if fullest > capacity:
        table, counts, shifts = _fill_table(positions, cell, radius, fullest)
        if int(counts.max()) > fullest:
            raise GraphError(
                f"the cell list found {int(counts.max())} neighbours of one atom where it had counted {fullest}; "
                "expected the same number twice; choose another method (kd_tree, brute_force)"
            )
    filled = torch.arange(table.shape[1], device=table.device) < counts[:, None]  # (N, capacity)
    senders, slots = filled.nonzero(as_tuple=True)  # (E,)
    return Candidates(senders, table[senders, slots].long(), shifts[senders, slots].to(torch.float64))


def _estimate_capacity(atoms: int, cell: PeriodicCell | None, radius: float) -> int:
    """Return a number of neighbours of one atom that is rarely exceeded at the average density of the cell."""
    if cell is None:
        return MOLECULE_CAPACITY
    volume = 1.0 / abs(float(torch.linalg.det(cell.inverse)))
    return 16 + math.ceil(CROWDING * atoms / volume * 4.0 / 3.0 * math.pi * radius**3)


def _fill_table(
    positions: Tensor, cell: PeriodicCell | None, radius: float, capacity: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return neighbours (N, capacity), their counts (N,), and their shifts (N, capacity, 3), all int32.

    Counting continues when the table is full: a count above the capacity means an overflow.
    """
    rows = None if cell is None else cell.rows[None]  # (1, 3, 3)
    periodic = None if cell is None else torch.ones(3, dtype=torch.bool, device=positions.device)
    table, counts, shifts = neighbor_list(
        positions, radius, cell=rows, pbc=periodic, method="cell_list", max_neighbors=capacity
    )
    return table, counts, shifts
