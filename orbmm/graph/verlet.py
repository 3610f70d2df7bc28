"""Edges along a trajectory: pairs found with a skin are kept until an atom moves half the skin or the box changes.

The result equals `find_edges` of the same coordinates, edge by edge and in the same order, whatever was computed
before. The kept pairs are applied to newly wrapped coordinates: at every step the number of cells between the position
of an atom now and its position at the search is counted. So an atom may leave the cell or be moved to another image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from orbmm.errors import GraphError
from orbmm.graph.cell import PeriodicCell, check_cell, wrap
from orbmm.graph.edges import (
    FARTHEST_ANGSTROM,
    SEARCH_MARGIN_ANGSTROM,
    EdgeList,
    check_cutoff,
    check_positions,
    list_edges,
)
from orbmm.graph.nearest import (
    OVERLAP_ANGSTROM,
    ImageTable,
    LeftOut,
    NumberedPairs,
    count_left_out,
    measure_pairs,
    number_pairs,
    select_nearest,
    tabulate_images,
)
from orbmm.graph.search.choose import choose_search
from orbmm.graph.search.protocol import Candidates, join
from orbmm.graph.table import Limits, NeighborTable, tabulate_pairs


@dataclass(frozen=True)
class _KeptPairs:
    """All pairs within cutoff + skin of one structure.

    wrapped: (N, 3) [Å] float64, positions at the search; rows: (3, 3) [Å], the cell that was passed in, or None
    pairs: their images are indices in the table
    """

    wrapped: Tensor
    rows: Tensor | None
    cell: PeriodicCell | None
    table: ImageTable
    pairs: NumberedPairs

    @cached_property
    def neighbors(self) -> NeighborTable:
        """Return the same pairs as a table with one row for each atom."""
        return tabulate_pairs(self.pairs, self.wrapped, self.rows, self.cell, self.table)


@dataclass(frozen=True)
class _Found:
    """The result of a search: the pairs to keep, and the edges among them."""

    kept: _KeptPairs
    edges: EdgeList


class VerletList:
    """The edges of moving atoms; a new search is made only when an unlisted pair may have come within the cutoff.

    The result depends only on the arguments, and the kept pairs are replaced as a whole, so threads may share a list.
    If it is used for two trajectories in turn, it searches every time.
    systems: of how many systems with equally many atoms the positions are, one after the other; none sees another
    searches: the number of searches so far
    """

    def __init__(
        self,
        cutoff_angstrom: float,
        max_neighbors: int | None,
        skin_angstrom: float,
        method: str = "auto",
        systems: int = 1,
    ) -> None:
        check_cutoff(cutoff_angstrom, max_neighbors)
        if not 0 <= skin_angstrom <= cutoff_angstrom:
            raise GraphError(f"got a skin of {skin_angstrom} Å; expected 0 to {cutoff_angstrom} Å, the cutoff")
        self._cutoff, self._max_neighbors = cutoff_angstrom, max_neighbors
        self._skin, self._method, self._systems = skin_angstrom, method, systems
        self._kept: _KeptPairs | None = None
        self.searches = 0
        self.limits = Limits(cutoff_angstrom, skin_angstrom, max_neighbors)

    def find_edges(self, positions: Tensor, cell: Tensor | None) -> EdgeList:
        """Return the edges of `orbmm.graph.edges.find_edges`, and raise its errors.

        positions: (N, 3) [Å], inside or outside the cell; cell: (3, 3) rows [Å] or None
        """
        kept = self._kept
        if kept is not None and _is_same_box(kept, positions, cell):
            given = positions.detach().to(torch.float64)
            wrapped, images = _wrap(given, kept.cell)  # (N, 3), (N, 3) or None
            cells = _count_cells(kept, wrapped)  # (N, 3) or None
            if self._is_near(kept, given, wrapped, cells):
                return self._select(kept, wrapped, images, cells)
        return self._search(check_positions(positions), cell).edges

    def tabulate(self, positions: Tensor, cell: Tensor | None) -> tuple[NeighborTable, int]:
        """Search, whether or not the kept pairs would do; return the new ones as a table, and the number of edges now.

        See find_edges for the arguments and errors.
        """
        found = self._search(check_positions(positions), cell)
        return found.kept.neighbors, len(found.edges)

    def count_left_out(self) -> LeftOut | None:
        """Count the edges that the limit of neighbours left out of the last search; None where it left out none."""
        kept = self._kept
        if kept is None or self._max_neighbors is None:
            return None
        every = select_nearest(kept.pairs, kept.wrapped, kept.table, self._cutoff, None)
        left_out = count_left_out(every, self._max_neighbors)
        return left_out if left_out.edges else None

    def _is_near(self, kept: _KeptPairs, given: Tensor, wrapped: Tensor, cells: Tensor | None) -> bool:
        """Return True if no atom has moved more than half the skin; needs one transfer to the host."""
        moved = wrapped - kept.wrapped  # (N, 3)
        if cells is not None and kept.cell is not None:
            moved = moved + cells @ kept.cell.rows  # (N, 3)
        # NaN compares as false, so invalid coordinates lead to a search, which reports them.
        still = moved.square().sum(dim=1) <= (self._skin / 2) ** 2  # (N,)
        return bool((still & (given.abs() < FARTHEST_ANGSTROM).all(dim=1)).all())

    def _search(self, positions: Tensor, cell: Tensor | None) -> _Found:
        checked = None if cell is None else check_cell(cell, positions.device)
        wrapped, images = _wrap(positions, checked)
        reach = self._cutoff + self._skin + SEARCH_MARGIN_ANGSTROM
        found = self._search_systems(wrapped, checked, reach)
        # The table holds the shift of every pair that can come within the cutoff, for any image of both atoms.
        table = tabulate_images(checked, reach + self._skin, positions.device)
        pairs = number_pairs(found, table)
        distances = measure_pairs(pairs, wrapped, table)  # (E,)
        is_self = (pairs.senders == pairs.receivers) & (distances < OVERLAP_ANGSTROM)  # (E,)
        pairs = pairs.take(((distances < reach) & ~is_self).nonzero().squeeze(1))
        kept = _KeptPairs(wrapped, None if cell is None else cell.detach().clone(), checked, table, pairs)
        edges = self._select(kept, wrapped, images, None)
        self._kept = kept
        self.searches += 1
        return _Found(kept, edges)

    def _search_systems(self, wrapped: Tensor, cell: PeriodicCell | None, reach: float) -> Candidates:
        """Return the candidate pairs, searched in one system after the other; raise GraphError if they are unequal."""
        if len(wrapped) % self._systems:
            raise GraphError(f"{len(wrapped)} atoms are not {self._systems} systems of equally many atoms")
        atoms = len(wrapped) // self._systems
        each = wrapped.split(atoms)
        search = choose_search(self._method, each[0])
        found = [search(positions, cell, reach) for positions in each]
        starts = range(0, len(wrapped), atoms)
        return join([_shift(pairs, start) for pairs, start in zip(found, starts, strict=True)])

    def _select(self, kept: _KeptPairs, wrapped: Tensor, images: Tensor | None, cells: Tensor | None) -> EdgeList:
        """Return the edges among the kept pairs. cells: (N, 3), of _count_cells; None if no atom changed its image."""
        pairs = kept.pairs if cells is None else _renumber(kept, cells)
        nearest = select_nearest(pairs, wrapped, kept.table, self._cutoff, self._max_neighbors)
        return list_edges(nearest, kept.table, images)


def _is_same_box(kept: _KeptPairs, positions: Tensor, cell: Tensor | None) -> bool:
    """Return True if the pairs were found for the same number of atoms, device and cell."""
    if positions.shape != kept.wrapped.shape or positions.device != kept.wrapped.device:
        return False
    if cell is None or kept.rows is None:
        return cell is None and kept.rows is None
    return cell.dtype == kept.rows.dtype and torch.equal(cell, kept.rows)


def _shift(pairs: Candidates, start: int) -> Candidates:
    """Return the pairs with their atoms counted from another start."""
    return replace(pairs, senders=pairs.senders + start, receivers=pairs.receivers + start) if start else pairs


def _wrap(positions: Tensor, cell: PeriodicCell | None) -> tuple[Tensor, Tensor | None]:
    return (positions, None) if cell is None else wrap(positions, cell)


def _count_cells(kept: _KeptPairs, wrapped: Tensor) -> Tensor | None:
    """Return the cells that bring each atom next to its position at the search: (N, 3), whole numbers in float64.

    Any count is correct if it brings the atom within half the skin of that position; this one brings it nearest.
    """
    return None if kept.cell is None else ((kept.wrapped - wrapped) @ kept.cell.inverse).round()  # (N, 3)


def _renumber(kept: _KeptPairs, cells: Tensor) -> NumberedPairs:
    """Return the kept pairs with the shifts that lead to the same images now.

    One integer per atom is added to the index of the image, instead of a shift per pair.
    """
    steps = kept.table.count_steps(cells)  # (N,)
    pairs = kept.pairs
    images = pairs.images + steps.index_select(0, pairs.receivers)  # (E,)
    images -= steps.index_select(0, pairs.senders)
    return NumberedPairs(pairs.senders, pairs.receivers, images)
