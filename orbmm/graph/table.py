"""Select edges from kept pairs with arrays of fixed sizes, so that a GPU needs no number back from the host.

The kept pairs of an atom are one row of a table, sorted by receiver and image. That order never changes: all pairs of a
sender and a receiver change their images together. So a step sorts each short row by distance alone, and the column
breaks ties as `orbmm.graph.nearest` does. The edges are those of `select_nearest`, in the same order, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.graph.cell import PeriodicCell, wrap
from orbmm.graph.edges import FARTHEST_ANGSTROM, EdgeList
from orbmm.graph.nearest import DISTANCE_GRID_ANGSTROM, OVERLAP_ANGSTROM, ImageTable, NumberedPairs

COLUMNS_AT_ONCE = 32  # tables are widened to a multiple of this, so that one recording serves many searches
INT32_BITS = 31  # without the sign


@dataclass(frozen=True)
class NeighborTable:
    """The pairs within cutoff + skin of one structure, N atoms with at most W pairs each; tensors only.

    wrapped: (N, 3) [Å] float64, positions at the search
    given, rows, inverse: (3, 3), the cell that was passed in, and in float64 with its inverse; None without a cell
    shifts: (I, 3) int64, offsets: (3, I) [Å], strides: (3,), of the ImageTable
    receivers, images: (N, W) int32; filled: (N, W) bool, False behind the last pair of an atom
    """

    wrapped: Tensor
    given: Tensor | None
    rows: Tensor | None
    inverse: Tensor | None
    shifts: Tensor
    offsets: Tensor
    strides: Tensor
    receivers: Tensor
    images: Tensor
    filled: Tensor

    def fits(self, positions: Tensor, cell: Tensor | None) -> bool:
        """Return True if the table is for as many atoms on the same device, and both have a cell or none."""
        if positions.shape != self.wrapped.shape or positions.device != self.wrapped.device:
            return False
        if cell is None or self.given is None:
            return cell is None and self.given is None
        return cell.dtype == self.given.dtype


@dataclass(frozen=True)
class Limits:
    """The cutoff and the skin [Å], and the number of nearest neighbours that an atom keeps, or None for all."""

    cutoff_angstrom: float
    skin_angstrom: float
    max_neighbors: int | None


@dataclass(frozen=True)
class PaddedEdges:
    """Edges in arrays of a fixed size: first all real ones, then padding from an atom to itself, spread over the atoms.

    is_real: (E,) bool; count: () int64, the real edges that there are, which may be more than fit
    farthest: () [Å^2], the longest way of an atom since the search, squared; infinite for invalid coordinates
    overlaps, same_box: () bool: two atoms overlap; the box is that of the search
    """

    edges: EdgeList
    is_real: Tensor
    count: Tensor
    farthest: Tensor
    overlaps: Tensor
    same_box: Tensor


def tabulate_pairs(
    pairs: NumberedPairs, wrapped: Tensor, given: Tensor | None, cell: PeriodicCell | None, images: ImageTable
) -> NeighborTable:
    """Return the table of all pairs; the host waits for the longest row. given: (3, 3), the cell as passed in."""
    atoms, device = len(wrapped), wrapped.device
    order = (pairs.receivers * len(images.shifts) + pairs.images).sort(stable=True).indices  # (P,)
    order = order.index_select(0, pairs.senders.index_select(0, order).sort(stable=True).indices)  # (P,)
    pairs = pairs.take(order)
    every = torch.arange(atoms + 1, device=device)
    starts = torch.searchsorted(pairs.senders, every)  # (N + 1,)
    longest = max(1, int(starts.diff().max()))
    width = -(-longest // COLUMNS_AT_ONCE) * COLUMNS_AT_ONCE
    columns = torch.arange(len(pairs), device=device) - starts.index_select(0, pairs.senders)  # (P,)
    slots = pairs.senders * width + columns  # (P,)
    receivers = every[:-1, None].repeat(1, width)  # (N, W): an empty slot leads from an atom to itself
    receivers.view(-1).index_copy_(0, slots, pairs.receivers)
    numbers = torch.full_like(receivers, len(images.shifts) // 2)  # (N, W)
    numbers.view(-1).index_copy_(0, slots, pairs.images)
    filled = torch.arange(width, device=device) < starts.diff()[:, None]  # (N, W)
    rows, inverse = (None, None) if cell is None else (cell.rows, cell.inverse)
    shifts, offsets = images.shifts.long(), images.offsets.t().contiguous()
    ends = receivers.int(), numbers.int()
    return NeighborTable(wrapped, given, rows, inverse, shifts, offsets, images.strides, *ends, filled)


def select_edges(
    table: NeighborTable, positions: Tensor, cell: Tensor | None, limits: Limits, size: int
) -> PaddedEdges:
    """Return the edges of a structure, padded to a size, with operations that depend only on the shapes.

    positions: (N, 3) [Å] float64, inside or outside the cell; cell: (3, 3) [Å] or None. `table.fits` must be true.
    The edges are worth nothing unless every atom moved less than half the skin, the box is the same, and they fit.
    """
    wrapped, moved_cells, images = _follow(table, positions)
    farthest = _measure_farthest(table, positions, wrapped, images)
    numbers = table.images  # (N, W)
    if images is not None:
        by_atom = (images @ table.strides).int()  # (N,)
        numbers = by_atom[table.receivers].sub_(by_atom[:, None]).add_(numbers)
        numbers.clamp_(0, len(table.shifts) - 1)  # where an atom went too far, any image will do
    distances = _measure_rows(table, wrapped, numbers)  # (N, W)
    apart = distances >= OVERLAP_ANGSTROM  # (N, W); False for NaN
    # A pair of an atom with its own image is never that near, and nothing else fills a slot than pairs.
    overlaps = (table.filled & ~apart).any()
    steps = (distances / DISTANCE_GRID_ANGSTROM).round_()  # (N, W)
    limit = round(limits.cutoff_angstrom / DISTANCE_GRID_ANGSTROM)
    near = (steps < limit).logical_and_(apart).logical_and_(table.filled)  # (N, W)
    slots, counts = _sort_rows(steps, near, limit)  # (N, W), (N,)
    if limits.max_neighbors is not None:
        counts = counts.clamp(max=limits.max_neighbors)
    ends = counts.cumsum(0)  # (N,)
    index = torch.arange(size, device=positions.device)  # (E,)
    is_real = index < ends[-1]  # (E,)
    senders = torch.searchsorted(ends, index, right=True)  # (E,), N behind the last edge
    senders = torch.where(is_real, senders, (index - ends[-1]).remainder(len(positions)))
    columns = (index - (ends - counts).index_select(0, senders)).clamp_(0, slots.shape[1] - 1)  # (E,)
    chosen = senders * slots.shape[1] + slots.view(-1).index_select(0, senders * slots.shape[1] + columns)  # (E,)
    receivers = torch.where(is_real, table.receivers.view(-1).index_select(0, chosen), senders)
    shifts = table.shifts.index_select(0, numbers.view(-1).index_select(0, chosen))  # (E, 3)
    if moved_cells is not None:
        cells = moved_cells.long()  # (N, 3)
        shifts = shifts + cells.index_select(0, senders) - cells.index_select(0, receivers)
    same_box = torch.ones_like(overlaps) if cell is None or table.given is None else torch.eq(cell, table.given).all()
    return PaddedEdges(EdgeList(senders, receivers, shifts), is_real, ends[-1], farthest, overlaps, same_box)


def _follow(table: NeighborTable, positions: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return wrapped positions (N, 3), the cells that wrapped them, and those back to the positions of the search."""
    if table.rows is None or table.inverse is None:
        return positions, None, None
    wrapped, cells = wrap(positions, PeriodicCell(table.rows, table.inverse, (0.0, 0.0, 0.0)))
    return wrapped, cells, ((table.wrapped - wrapped) @ table.inverse).round()


def _measure_farthest(table: NeighborTable, positions: Tensor, wrapped: Tensor, images: Tensor | None) -> Tensor:
    """Return the longest way of an atom since the search, squared, () [Å^2]; infinite if a coordinate is not valid."""
    moved = wrapped - table.wrapped  # (N, 3)
    if images is not None and table.rows is not None:
        moved = moved + images @ table.rows
    valid = (positions.abs() < FARTHEST_ANGSTROM).all()  # NaN is not below either
    return torch.where(valid, moved.square().sum(dim=1).max(), torch.inf)


def _measure_rows(table: NeighborTable, wrapped: Tensor, numbers: Tensor) -> Tensor:
    """Return the distance of every slot, (N, W) [Å] float64: the operations of `measure_pairs`, in the same order."""
    squared = torch.zeros_like(numbers, dtype=torch.float64)  # (N, W)
    for component, offsets in zip(wrapped.t().contiguous(), table.offsets, strict=True):  # (N,), (I,)
        lengths = component[table.receivers]  # (N, W)
        lengths -= component[:, None]
        lengths += offsets[numbers]
        squared += lengths.square_()
    return squared.sqrt_()


def _sort_rows(steps: Tensor, near: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return the slots of each row by (distance, column), those that are near first (N, W), and how many are (N,)."""
    bits = (steps.shape[1] - 1).bit_length()
    dtype = torch.int32 if limit.bit_length() + bits <= INT32_BITS else torch.int64
    columns = torch.arange(steps.shape[1], dtype=dtype, device=steps.device)  # (W,)
    # A slot that is not near counts as one at the limit, which no near one reaches.
    keys = torch.where(near, steps, limit).to(dtype) << bits | columns  # (N, W)
    return (keys.sort(dim=1).values & ((1 << bits) - 1)).long(), near.sum(dim=1)
