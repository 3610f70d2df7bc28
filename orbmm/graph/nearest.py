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
from orbmm.graph.cell import PeriodicCell, count_images, list_images, number_images
from orbmm.graph.search.protocol import Candidates

DISTANCE_GRID_ANGSTROM = 1e-6
OVERLAP_ANGSTROM = 0.01
KEY_BITS = 63  # of an int64, without its sign
# Largest difference of fractional coordinates: 1 for wrapped atoms, the rest for those that have moved since they were.
SPREAD = 1.5


def keep_nearest(
    candidates: Candidates,
    positions: Tensor,
    cell: PeriodicCell | None,
    cutoff_angstrom: float,
    max_neighbors: int | None,
) -> Candidates:
    """The candidates below the cutoff, at most max_neighbors per sender, ordered by (sender, distance, receiver, shift).

    positions: (N, 3) [Å] float64, wrapped as for the search, or moved since by less than a quarter of the cell.
    Raises StructureError when two atoms lie on top of each other.
    """
    atoms, limit = len(positions), round(cutoff_angstrom / DISTANCE_GRID_ANGSTROM)
    counts = (0, 0, 0) if cell is None else count_images(cell, cutoff_angstrom, SPREAD)
    images = list_images(counts, positions.device)  # (I, 3)
    step_bits, image_bits = limit.bit_length(), (len(images) - 1).bit_length()

    distances = _measure(candidates, positions, cell)  # (E,)
    steps = (distances / DISTANCE_GRID_ANGSTROM).round().long()  # (E,)
    is_edge = (steps < limit) & ~_find_selves(candidates, distances)  # (E,)

    # Two whole numbers hold what the order depends on; what is no edge goes last, to a sender that does not exist.
    first = candidates.senders << step_bits | steps  # (E,)
    second = candidates.receivers << image_bits | number_images(candidates.shifts, counts)  # (E,)
    first, second = torch.where(is_edge, first, atoms << step_bits), torch.where(is_edge, second, 0)
    first, second = _sort(first, second, (atoms << step_bits).bit_length(), (atoms << image_bits).bit_length())

    senders = first >> step_bits  # (E,)
    kept = _cap(senders, atoms, max_neighbors)  # (E',)
    second = second.index_select(0, kept)  # (E',)
    shifts = images.index_select(0, second & ((1 << image_bits) - 1))  # (E', 3)
    return Candidates(senders.index_select(0, kept), second >> image_bits, shifts)


def _measure(candidates: Candidates, positions: Tensor, cell: PeriodicCell | None) -> Tensor:
    """Distances of the candidates: (E,) [Å] float64."""
    vectors = positions.index_select(0, candidates.receivers) - positions.index_select(0, candidates.senders)  # (E, 3)
    if cell is not None:
        vectors = torch.addmm(vectors, candidates.shifts, cell.rows)  # (E, 3)
    return vectors.norm(dim=1)


def _find_selves(candidates: Candidates, distances: Tensor) -> Tensor:
    """Which candidates join an atom with itself and not with its image: (E,) bool. StructureError for overlapping atoms.

    No checked cell has a vector as short as the overlap distance, so an atom that near to itself is no image.
    """
    near = distances < OVERLAP_ANGSTROM  # (E,)
    same = candidates.senders == candidates.receivers  # (E,)
    overlapping = near & ~same  # (E,)
    if bool(overlapping.any()):
        at = int(overlapping.nonzero()[0, 0])
        lower, upper = sorted((int(candidates.senders[at]), int(candidates.receivers[at])))
        raise StructureError(
            f"atoms {lower} and {upper} (counted from 0) lie on top of each other, {float(distances[at]):.2g} Å apart; "
            f"expected at least {OVERLAP_ANGSTROM} Å; remove one, or check the cell and the unit of the coordinates (Å)"
        )
    return near & same


def _sort(first: Tensor, second: Tensor, first_bits: int, second_bits: int) -> tuple[Tensor, Tensor]:
    """Pairs of whole numbers in order: sorted as one number where the bits of both fit, else by two stable sorts."""
    if first_bits + second_bits > KEY_BITS:
        second, order = second.sort()
        first, order = first.index_select(0, order).sort(stable=True)
        return first, second.index_select(0, order)
    keys = first << second_bits | second  # (E,)
    # On a CPU NumPy sorts whole numbers with vector instructions, several times faster than torch.
    keys = torch.from_numpy(np.sort(keys.numpy())) if keys.device.type == "cpu" else keys.sort().values
    return keys >> second_bits, keys & ((1 << second_bits) - 1)


def _cap(senders: Tensor, atoms: int, max_neighbors: int | None) -> Tensor:
    """Indices of the first max_neighbors edges of each sender that exists; senders: (E,), sorted. Returns (E',)."""
    kept = senders < atoms  # (E,)
    if max_neighbors is not None:  # one too many: the edge max_neighbors places earlier has the same sender
        kept[max_neighbors:] &= senders[max_neighbors:] != senders[:-max_neighbors]
    return kept.nonzero().squeeze(1)
