"""The edges of the periodic neighbour graph: every pair of atoms within the cutoff, through every image of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.errors import GraphError, StructureError
from orbmm.graph.cell import check_cell, wrap
from orbmm.graph.nearest import ImageTable, NumberedPairs, number_pairs, select_nearest, tabulate_images
from orbmm.graph.search.choose import choose_search

SEARCH_MARGIN_ANGSTROM = 1e-4  # added to the cutoff in every search, to allow for rounding in the search
FARTHEST_ANGSTROM = 1e6  # here float64 resolves 1e-10 Å, well below the grid on which distances are compared


@dataclass(frozen=True)
class EdgeList:
    """Directed edges, sorted by (sender, distance, receiver, shift).

    senders, receivers: (E,) int64, atom indices
    shifts: (E, 3) int64, cells to add to the position of the receiver as it was passed in
    """

    senders: Tensor
    receivers: Tensor
    shifts: Tensor

    def __len__(self) -> int:
        return self.senders.shape[0]

    def vectors(self, positions: Tensor, cell: Tensor | None) -> Tensor:
        """Return the vectors from sender to receiver, differentiable with respect to both arguments.

        positions: (N, 3) [Å]; cell: (3, 3) rows [Å] or None. Returns (E, 3) [Å].
        """
        vectors = positions.index_select(0, self.receivers) - positions.index_select(0, self.senders)  # (E, 3)
        return vectors if cell is None else vectors + self.shifts.to(cell.dtype) @ cell  # (E, 3)


def find_edges(
    positions: Tensor, cell: Tensor | None, cutoff_angstrom: float, max_neighbors: int | None, method: str = "auto"
) -> EdgeList:
    """Find all edges shorter than the cutoff; if a sender has more than max_neighbors, only its nearest ones.

    positions: (N, 3) [Å], inside or outside the cell; cell: (3, 3) rows [Å] or None
    Images are neighbours too, also those of the atom itself; for ties see `orbmm.graph.nearest`. Gradients do not pass
    through the choice of edges.
    Raises StructureError for invalid coordinates or an invalid cell, GraphError for an unknown method.
    """
    check_cutoff(cutoff_angstrom, max_neighbors)
    positions = check_positions(positions)
    checked = None if cell is None else check_cell(cell, positions.device)
    wrapped, images = (positions, None) if checked is None else wrap(positions, checked)  # (N, 3), (N, 3)
    found = choose_search(method, positions)(wrapped, checked, cutoff_angstrom + SEARCH_MARGIN_ANGSTROM)
    table = tabulate_images(checked, cutoff_angstrom, positions.device)
    nearest = select_nearest(number_pairs(found, table), wrapped, table, cutoff_angstrom, max_neighbors)
    return list_edges(nearest, table, images)


def list_edges(pairs: NumberedPairs, table: ImageTable, images: Tensor | None) -> EdgeList:
    """Convert pairs of wrapped atoms to edges between the positions that were passed in.

    images: (N, 3), the cells by which each atom was moved when it was wrapped, or None without a cell
    """
    shifts = table.shifts.long().index_select(0, pairs.images)  # (E, 3)
    if images is not None:
        cells = images.long()  # (N, 3)
        shifts += cells.index_select(0, pairs.senders)
        shifts -= cells.index_select(0, pairs.receivers)
    return EdgeList(pairs.senders, pairs.receivers, shifts)


def check_cutoff(cutoff_angstrom: float, max_neighbors: int | None) -> None:
    """Raise GraphError unless the cutoff [Å] and the maximum number of neighbours are above zero."""
    if not cutoff_angstrom > 0 or (max_neighbors is not None and max_neighbors < 1):
        raise GraphError(
            f"got a cutoff of {cutoff_angstrom} Å and at most {max_neighbors} neighbours; both must be above zero"
        )


def check_positions(positions: Tensor) -> Tensor:
    """Return positions detached and in float64. Raises StructureError unless they are (N, 3) and finite."""
    if positions.ndim != 2 or positions.shape[0] == 0 or positions.shape[1] != 3:
        raise StructureError(
            f"the coordinates have shape {tuple(positions.shape)}; expected (atoms, 3) in Å, one atom or more"
        )
    positions = positions.detach().to(torch.float64)
    # One comparison with one transfer to the host; NaN is not below the limit either.
    if not bool((positions.abs() < FARTHEST_ANGSTROM).all()):
        atom = int((~(positions.abs() < FARTHEST_ANGSTROM)).any(dim=1).nonzero()[0, 0])
        raise StructureError(
            f"the coordinates of atom {atom} (counted from 0) are {positions[atom].tolist()} Å; "
            f"expected finite numbers below {FARTHEST_ANGSTROM:.0e} Å: an earlier step was probably unstable"
        )
    return positions
