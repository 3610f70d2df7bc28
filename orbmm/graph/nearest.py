"""From candidates to edges: exact distances, the cutoff, the K nearest per sender, one rule for ties.

Distances are compared on a grid of 1e-6 Å, computed in float64. Rounding in float64 is a million times finer, so atoms that are
equally far by symmetry stay tied whichever search found them and whichever image they were given in; distances that differ
by more than the grid are ordered as they are. Among ties the lower receiver comes first, then the lexicographically lower shift.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from orbmm.errors import StructureError
from orbmm.graph.cell import PeriodicCell, count_images
from orbmm.graph.search.protocol import Candidates

DISTANCE_GRID_ANGSTROM = 1e-6
OVERLAP_ANGSTROM = 0.01
LARGEST_KEY = 2**63 - 1


def keep_nearest(
    candidates: Candidates,
    positions: Tensor,
    cell: PeriodicCell | None,
    cutoff_angstrom: float,
    max_neighbors: int | None,
) -> Candidates:
    """The candidates below the cutoff, at most max_neighbors per sender, ordered by (sender, distance, receiver, shift).

    positions: (N, 3) [Å] float64, those the candidates were found for.
    Raises StructureError when two atoms lie on top of each other.
    """
    senders, receivers, shifts = candidates.senders, candidates.receivers, candidates.shifts
    vectors = positions.index_select(0, receivers) - positions.index_select(0, senders)  # (E, 3)
    if cell is not None:
        vectors = torch.addmm(vectors, shifts.to(vectors.dtype), cell.rows)  # (E, 3)
    distances = vectors.norm(dim=1)  # (E,)
    grid = (distances / DISTANCE_GRID_ANGSTROM).round().long()  # (E,)
    steps = round(cutoff_angstrom / DISTANCE_GRID_ANGSTROM)
    # No checked cell has a vector below the overlap distance: an atom that near to itself is itself and not an image.
    near = distances < OVERLAP_ANGSTROM
    is_pair = senders != receivers
    _refuse_overlap(near & is_pair, candidates, distances)
    kept = ((grid < steps) & (is_pair | ~near)).nonzero().squeeze(1)  # (E',)
    chosen = Candidates(senders[kept], receivers[kept], shifts[kept])
    order = _order(chosen, grid[kept], (positions.shape[0], steps), cell, cutoff_angstrom)
    if max_neighbors is not None:
        order = order[_rank_by_sender(chosen.senders[order], positions.shape[0]) < max_neighbors]
    return Candidates(chosen.senders[order], chosen.receivers[order], chosen.shifts[order])


def _order(
    edges: Candidates, grid: Tensor, sizes: tuple[int, int], cell: PeriodicCell | None, cutoff_angstrom: float
) -> Tensor:
    """Indices that sort by (sender, grid distance, receiver, shift), by one sort of one whole number where it fits."""
    atoms, steps = sizes
    counts = (0, 0, 0) if cell is None else count_images(cell, cutoff_angstrom, 1.0 + 1e-3)
    spans = [2 * count + 1 for count in counts]
    place = edges.receivers  # (E,)
    for axis, (count, span) in enumerate(zip(counts, spans, strict=True)):
        place = place * span + (edges.shifts[:, axis] + count)
    distance = edges.senders * steps + grid  # (E,)
    places = atoms * math.prod(spans)
    if atoms * steps * places <= LARGEST_KEY:
        return (distance * places + place).argsort()
    order = place.argsort()
    return order[distance[order].argsort(stable=True)]


def _rank_by_sender(senders: Tensor, atoms: int) -> Tensor:
    """How many edges of the same sender come before each edge; senders: (E,), sorted. Returns (E,)."""
    counts = torch.bincount(senders, minlength=atoms)  # (N,)
    starts = counts.cumsum(0) - counts  # (N,)
    return torch.arange(len(senders), device=senders.device) - starts[senders]


def _refuse_overlap(overlapping: Tensor, candidates: Candidates, distances: Tensor) -> None:
    """Raise StructureError when any candidate is an overlap; overlapping: (E,) bool."""
    if not bool(overlapping.any()):
        return
    at = int(overlapping.nonzero()[0, 0])
    first, second = sorted((int(candidates.senders[at]), int(candidates.receivers[at])))
    raise StructureError(
        f"atoms {first} and {second} (counted from 0) lie on top of each other: {float(distances[at]):.2g} Å apart, expected at least "
        f"{OVERLAP_ANGSTROM} Å; remove one of them, or check the cell and the unit of the coordinates (Å)"
    )
