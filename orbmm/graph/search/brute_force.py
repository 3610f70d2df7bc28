"""All pairs in torch: the plainest search, and the fastest one for a few hundred atoms."""

from __future__ import annotations

import torch
from torch import Tensor

from orbmm.graph.cell import PeriodicCell, count_images, list_images
from orbmm.graph.search.protocol import Candidates

PAIRS_AT_ONCE = 2_000_000  # pairs times images held at one time: 48 MB for their vectors


def search_brute_force(positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
    """Candidates from the distances of all pairs, blocks of senders at a time.

    Each pair is first brought to its nearest image along every cell vector; further images are added only where the cell
    is thinner than twice the radius. positions: (N, 3) [Å] float64; radius: [Å].
    """
    atoms = positions.shape[0]
    images = None if cell is None else list_images(count_images(cell, radius, 0.5), positions.device)  # (I, 3)
    block = max(1, PAIRS_AT_ONCE // max(1, atoms * (1 if images is None else len(images))))
    found = [_search_block(positions, cell, images, radius, first, block) for first in range(0, max(1, atoms), block)]
    if len(found) == 1:
        return found[0]
    return Candidates(
        torch.cat([part.senders for part in found]),
        torch.cat([part.receivers for part in found]),
        torch.cat([part.shifts for part in found]),
    )


def _search_block(
    positions: Tensor, cell: PeriodicCell | None, images: Tensor | None, radius: float, first: int, block: int
) -> Candidates:
    """Candidates of the senders first ... first + block. Components come first in memory: sums over them are then fast."""
    if cell is None or images is None:
        components = positions.T  # (3, N)
        vectors = components[:, None, :] - components[:, first : first + block, None]  # (3, B, N)
        senders, receivers = (vectors.square_().sum(0) < radius**2).nonzero(as_tuple=True)  # (E,)
        return Candidates(senders + first, receivers, senders.new_zeros(len(senders), 3))
    components = (positions @ cell.inverse).T.contiguous()  # (3, N) fractional
    vectors = components[:, None, :] - components[:, first : first + block, None]  # (3, B, N)
    nearest = vectors.round()  # (3, B, N)
    vectors = torch.mm(cell.rows.T, vectors.sub_(nearest).flatten(1)).view(nearest.shape)  # (3, B, N) [Å]
    moved = vectors[..., None] + (images @ cell.rows).T[:, None, None, :]  # (3, B, N, I)
    senders, receivers, image = (moved.square_().sum(0) < radius**2).nonzero(as_tuple=True)  # (E,)
    shifts = images[image] - nearest[:, senders, receivers].T  # (E, 3)
    return Candidates(senders + first, receivers, shifts.long())
