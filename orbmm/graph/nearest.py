"""From candidates to edges: exact distances, the cutoff, the K nearest per sender, one rule for ties.

Distances are computed in float64 and compared on a grid of 1e-6 Å. Rounding in float64 is a million times finer, so
atoms that are equally far by symmetry stay tied whichever search found them and through whichever image they were given;
distances that differ by more than the grid keep their order. Among ties the lower receiver comes first, then the
lexicographically lower shift of the wrapped atoms.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orbmm.errors import StructureError
from orbmm.graph.cell import PeriodicCell, count_images, list_images
from orbmm.graph.search.protocol import Candidates

DISTANCE_GRID_ANGSTROM = 1e-6
OVERLAP_ANGSTROM = 0.01
KEY_BITS = 63  # of an int64, without its sign
WRAPPED_SPREAD = 1.5  # fractional coordinates of two wrapped atoms differ by 1 at most; the rest is slack for rounding


def keep_nearest(
    candidates: Candidates,
    positions: Tensor,
    cell: PeriodicCell | None,
    cutoff_angstrom: float,
    max_neighbors: int | None,
) -> Candidates:
    """The candidates below the cutoff, at most max_neighbors per sender, ordered by (sender, distance, receiver, shift).

    positions: (N, 3) [Å] float64, wrapped, those the candidates were found for.
    Raises StructureError when two atoms lie on top of each other.
    """
    senders, receivers = candidates.senders, candidates.receivers
    distances = _measure(candidates, positions, cell)  # (E,)
    # No checked cell has a vector below the overlap distance: an atom that near to itself is itself and not an image.
    near, same = distances < OVERLAP_ANGSTROM, senders == receivers  # (E,)
    _refuse_overlap(near & ~same, candidates, distances)
    steps = (distances / DISTANCE_GRID_ANGSTROM).round().long()  # (E,)
    last = round(cutoff_angstrom / DISTANCE_GRID_ANGSTROM)
    counts = (0, 0, 0) if cell is None else count_images(cell, cutoff_angstrom, WRAPPED_SPREAD)
    images = list_images(counts, positions.device)  # (I, 3)
    # Two whole numbers hold all that the order depends on; what is no edge goes to a sender that does not exist.
    step_bits, image_bits = last.bit_length(), (len(images) - 1).bit_length()
    is_edge = (steps < last) & ~(near & same)  # (E,)
    high = torch.where(is_edge, senders << step_bits | steps, len(positions) << step_bits)  # (E,)
    low = torch.where(is_edge, receivers << image_bits | _number_images(candidates.shifts, counts), 0)  # (E,)
    high, low = _sort(high, low, (len(positions) << step_bits).bit_length(), (len(positions) << image_bits).bit_length())
    senders = high >> step_bits
    is_edge = senders < len(positions)
    if max_neighbors is not None:  # an edge is one too many if the one max_neighbors places before it has the same sender
        is_edge[max_neighbors:] &= senders[max_neighbors:] != senders[:-max_neighbors]
    kept = is_edge.nonzero().squeeze(1)  # (E',)
    low = low.index_select(0, kept)  # (E',)
    shifts = images.index_select(0, low & ((1 << image_bits) - 1))  # (E', 3)
    return Candidates(senders.index_select(0, kept), low >> image_bits, shifts)


def _measure(candidates: Candidates, positions: Tensor, cell: PeriodicCell | None) -> Tensor:
    """Distances of the candidates: (E,) [Å] float64."""
    vectors = positions.index_select(0, candidates.receivers) - positions.index_select(0, candidates.senders)  # (E, 3)
    if cell is not None:
        vectors = torch.addmm(vectors, candidates.shifts, cell.rows)  # (E, 3)
    return vectors.norm(dim=1)


def _number_images(shifts: Tensor, counts: tuple[int, int, int]) -> Tensor:
    """The place of each shift in the list of images; shifts: (E, 3) float64, within the counts. Returns (E,) int64."""
    _, second, third = (2 * count + 1 for count in counts)
    strides = torch.tensor((second * third, third, 1), dtype=torch.float64, device=shifts.device)  # (3,)
    centre = (counts[0] * second + counts[1]) * third + counts[2]
    return (shifts @ strides).long() + centre


def _sort(high: Tensor, low: Tensor, high_bits: int, low_bits: int) -> tuple[Tensor, Tensor]:
    """Both numbers sorted by (high, low): as one number where its bits suffice, else by two stable sorts."""
    if high_bits + low_bits > KEY_BITS:
        low, order = low.sort()
        high, order = high.index_select(0, order).sort(stable=True)
        return high, low.index_select(0, order)
    keys = high << low_bits | low  # (E,)
    # NumPy sorts whole numbers with vector instructions, several times faster than torch on a CPU.
    keys = torch.from_numpy(np.sort(keys.numpy())) if keys.device.type == "cpu" else keys.sort().values
    return keys >> low_bits, keys & ((1 << low_bits) - 1)


def _refuse_overlap(overlapping: Tensor, candidates: Candidates, distances: Tensor) -> None:
    """Raise StructureError when any candidate is an overlap; overlapping: (E,) bool."""
    if not bool(overlapping.any()):
        return
    at = int(overlapping.nonzero()[0, 0])
    first, second = sorted((int(candidates.senders[at]), int(candidates.receivers[at])))
    raise StructureError(
        f"atoms {first} and {second} (counted from 0) lie on top of each other, {float(distances[at]):.2g} Å apart; expected "
        f"at least {OVERLAP_ANGSTROM} Å; remove one of them, or check the cell and the unit of the coordinates (Å)"
    )
