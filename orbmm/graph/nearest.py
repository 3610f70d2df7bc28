"""Select edges from candidate pairs: exact distances, the cutoff, the K nearest per sender, one rule for ties.

Distances are computed in float64 and compared on a grid of 1e-6 Å. Rounding in float64 is a million times finer, so
atoms that are equally far by symmetry stay tied, whatever the search and whatever the image of the atoms passed in.
Distances that differ by more than the grid keep their order. Among ties the lower receiver comes first, then the
lexicographically lower shift of the wrapped atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orbmm.errors import StructureError
from orbmm.graph.cell import PeriodicCell, count_images, list_images
from orbmm.graph.search.protocol import Candidates

DISTANCE_GRID_ANGSTROM = 1e-6
OVERLAP_ANGSTROM = 0.01
KEY_BITS = 63  # of an int64, without its sign
# Largest difference of fractional coordinates: 1 for wrapped atoms, the rest is a margin for rounding.
SPREAD = 1.5


@dataclass(frozen=True)
class ImageTable:
    """The images of a cell within reach of a pair, numbered in lexicographic order of their shifts.

    shifts: (I, 3), whole numbers in float64
    offsets: (I, 3) [Å], the displacement of the receiver by each shift
    strides: (3,) float64, the steps of the index for one cell along each axis
    """

    shifts: Tensor
    offsets: Tensor
    strides: Tensor

    def number(self, shifts: Tensor) -> Tensor:
        """Return the index of each shift in the table: (E,) int64. shifts: (E, 3) float64, within the counts."""
        return self.count_steps(shifts) + len(self.shifts) // 2  # the zero shift is in the middle

    def count_steps(self, shifts: Tensor) -> Tensor:
        """Return by how much shifts (E, 3) float64 change an index: (E,) int64; the index is linear in the shift."""
        return (shifts @ self.strides).long()


@dataclass(frozen=True)
class NumberedPairs:
    """Directed pairs of atoms, (E,) int64 each; images: indices in an ImageTable."""

    senders: Tensor
    receivers: Tensor
    images: Tensor

    def __len__(self) -> int:
        return self.senders.shape[0]

    def take(self, chosen: Tensor) -> NumberedPairs:
        """Return the pairs at these indices. chosen: (E',) int64."""
        return NumberedPairs(*(each.index_select(0, chosen) for each in (self.senders, self.receivers, self.images)))


def tabulate_images(cell: PeriodicCell | None, radius: float, device: torch.device) -> ImageTable:
    """List every image through which two atoms can be nearer than the radius [Å]; the zero shift without a cell."""
    counts = (0, 0, 0) if cell is None else count_images(cell, radius, SPREAD)
    shifts = list_images(counts, device)  # (I, 3)
    _, second, third = (2 * count + 1 for count in counts)
    strides = torch.tensor((second * third, third, 1), dtype=torch.float64, device=device)  # (3,)
    if cell is None:
        return ImageTable(shifts, torch.zeros_like(shifts), strides)
    # Not a matrix product: its rounding may depend on the size of the table.
    along = [shifts[:, axis, None] * cell.rows[axis] for axis in range(3)]  # (I, 3) each
    return ImageTable(shifts, along[0] + along[1] + along[2], strides)


def number_pairs(candidates: Candidates, table: ImageTable) -> NumberedPairs:
    """Return the candidates with their shifts as indices in the table."""
    return NumberedPairs(candidates.senders, candidates.receivers, table.number(candidates.shifts))


def select_nearest(
    pairs: NumberedPairs, positions: Tensor, table: ImageTable, cutoff_angstrom: float, max_neighbors: int | None
) -> NumberedPairs:
    """Return the pairs below the cutoff, at most max_neighbors per sender, by (sender, distance, receiver, shift).

    positions: (N, 3) [Å] float64, wrapped. Raises StructureError if two atoms overlap.
    """
    limit = round(cutoff_angstrom / DISTANCE_GRID_ANGSTROM)
    step_bits, image_bits = limit.bit_length(), (len(table.shifts) - 1).bit_length()
    distances = measure_pairs(pairs, positions, table)  # (E,)
    _refuse_overlaps(pairs, distances)
    steps = (distances / DISTANCE_GRID_ANGSTROM).round_().long()  # (E,)
    # A checked cell has no vector as short as the overlap distance, so only the atom itself can be that near.
    near = ((steps < limit) & (distances >= OVERLAP_ANGSTROM)).nonzero().squeeze(1)  # (E',)
    pairs, steps = pairs.take(near), steps.index_select(0, near)  # (E',)

    # The order is that of two integers with packed bits, high to low (`_sort` joins them to one if 63 bits suffice):
    #     first  = [ sender   | distance in steps of the grid: step_bits ]
    #     second = [ receiver | index of the image:           image_bits ]
    # So comparing first, then second, compares (sender, distance, receiver, shift).
    first, second = pairs.senders << step_bits | steps, pairs.receivers << image_bits | pairs.images  # (E',)
    atoms = len(positions)
    first, second = _sort(first, second, (atoms << step_bits).bit_length(), (atoms << image_bits).bit_length())
    ordered = NumberedPairs(first >> step_bits, second >> image_bits, second & ((1 << image_bits) - 1))
    return ordered if max_neighbors is None else _cap(ordered, max_neighbors)


@dataclass(frozen=True)
class LeftOut:
    """The edges that a limit of neighbours leaves out.

    edges: their number; total: of all edges within the cutoff; atoms: senders with more neighbours than the limit
    """

    edges: int
    total: int
    atoms: int


def count_left_out(pairs: NumberedPairs, max_neighbors: int) -> LeftOut:
    """Count what a limit leaves out of the pairs within the cutoff, sorted by sender."""
    neighbors = torch.bincount(pairs.senders)  # (N,)
    surplus = neighbors[neighbors > max_neighbors] - max_neighbors  # (atoms,)
    return LeftOut(int(surplus.sum()), len(pairs), len(surplus))


def measure_pairs(pairs: NumberedPairs, positions: Tensor, table: ImageTable) -> Tensor:
    """Return the distances of the pairs, (E,) [Å] float64; each depends only on its own pair, to the last bit.

    positions: (N, 3) [Å] float64. No matrix product or norm is used: their rounding may depend on the row.
    """
    squared = torch.zeros_like(pairs.senders, dtype=torch.float64)  # (E,)
    for axis in range(3):  # one component at a time: gathering single numbers is faster than gathering rows
        component = positions[:, axis].contiguous()  # (N,)
        lengths = component.index_select(0, pairs.receivers)  # (E,)
        lengths -= component.index_select(0, pairs.senders)
        lengths += table.offsets[:, axis].contiguous().index_select(0, pairs.images)
        squared += lengths.square_()
    return squared.sqrt_()


def _refuse_overlaps(pairs: NumberedPairs, distances: Tensor) -> None:
    """Raise StructureError if two different atoms, or their images, overlap."""
    overlapping = (distances < OVERLAP_ANGSTROM) & (pairs.senders != pairs.receivers)  # (E,)
    if bool(overlapping.any()):
        at = int(overlapping.nonzero()[0, 0])
        lower, upper = sorted((int(pairs.senders[at]), int(pairs.receivers[at])))
        raise StructureError(
            f"atoms {lower} and {upper} (counted from 0) lie on top of each other, {float(distances[at]):.2g} Å apart; "
            f"expected at least {OVERLAP_ANGSTROM} Å; remove one, or check the cell and the unit of the coordinates (Å)"
        )


def _sort(first: Tensor, second: Tensor, first_bits: int, second_bits: int) -> tuple[Tensor, Tensor]:
    """Sort pairs of integers: packed in one integer if the bits of both fit, else by two stable sorts."""
    if first_bits + second_bits > KEY_BITS:
        second, order = second.sort()
        first, order = first.index_select(0, order).sort(stable=True)
        return first, second.index_select(0, order)
    keys = first << second_bits | second  # (E,)
    # On a CPU NumPy sorts integers with vector instructions, several times faster than torch.
    keys = torch.from_numpy(np.sort(keys.numpy())) if keys.device.type == "cpu" else keys.sort().values
    return keys >> second_bits, keys & ((1 << second_bits) - 1)


def _cap(pairs: NumberedPairs, max_neighbors: int) -> NumberedPairs:
    """Return the first max_neighbors pairs of each sender; the pairs must be sorted by sender."""
    senders = pairs.senders
    # A pair is surplus if the pair max_neighbors rows earlier has the same sender.
    surplus = senders[max_neighbors:] == senders[:-max_neighbors]  # (E - max_neighbors,)
    if not bool(surplus.any()):
        return pairs
    kept = torch.ones_like(senders, dtype=torch.bool)
    kept[max_neighbors:] = ~surplus
    return pairs.take(kept.nonzero().squeeze(1))
