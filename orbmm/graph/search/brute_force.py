"""All pairs in torch: the simplest search, and the fastest for few atoms."""

from __future__ import annotations

from torch import Tensor

from orbmm.graph.cell import PeriodicCell, count_images, list_images
from orbmm.graph.search.protocol import Candidates, join

# Pairs times images in memory at one time, 24 bytes each: enough to fit a CPU's cache, and to keep a GPU busy.
PAIRS_AT_ONCE_CPU = 20_000
PAIRS_AT_ONCE_GPU = 50_000_000


def search_brute_force(positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
    """Return candidates from the distances of all pairs, one block of senders at a time.

    positions: (N, 3) [Å] float64; radius: [Å]
    """
    atoms = positions.shape[0]
    pairs_at_once = PAIRS_AT_ONCE_CPU if positions.device.type == "cpu" else PAIRS_AT_ONCE_GPU
    if cell is None:
        block = max(1, pairs_at_once // atoms)
        return join([_pair_all(positions, radius, first, block) for first in range(0, atoms, block)])
    images = list_images(count_images(cell, radius, spread=0.5), positions.device)  # (I, 3)
    block = max(1, pairs_at_once // (atoms * len(images)))
    return join([_pair_images(positions, cell, images, radius, first, block) for first in range(0, atoms, block)])


def _pair_all(positions: Tensor, radius: float, first: int, block: int) -> Candidates:
    """Return candidates of the senders first ... first + block - 1, without a cell."""
    components = positions.T.contiguous()  # (3, N), components first: sums over them are fast
    vectors = components[:, None, :] - components[:, first : first + block, None]  # (3, B, N)
    senders, receivers = (vectors.square_().sum(0) < radius**2).nonzero(as_tuple=True)  # (E,)
    return Candidates(senders + first, receivers, positions.new_zeros(len(senders), 3))


def _pair_images(
    positions: Tensor, cell: PeriodicCell, images: Tensor, radius: float, first: int, block: int
) -> Candidates:
    """Return candidates of the senders first ... first + block - 1, starting from the nearest image of each pair.

    images: (I, 3), offsets from the nearest image; only the zero offset if the cell is thicker than twice the radius
    """
    fractional = (positions @ cell.inverse).T.contiguous()  # (3, N)
    vectors = fractional[:, None, :] - fractional[:, first : first + block, None]  # (3, B, N)
    nearest = vectors.round()  # (3, B, N)
    vectors = (cell.rows.T @ vectors.sub_(nearest).flatten(1)).view(nearest.shape)  # (3, B, N) [Å]
    if len(images) > 1:
        vectors = vectors[..., None] + (images @ cell.rows).T[:, None, None, :]  # (3, B, N, I)
    near = vectors.square_().sum(0) < radius**2  # (B, N) or (B, N, I)
    senders, receivers, image = near.view(*nearest.shape[1:], len(images)).nonzero(as_tuple=True)  # (E,)
    shifts = images[image] - nearest[:, senders, receivers].T  # (E, 3)
    return Candidates(senders + first, receivers, shifts)
