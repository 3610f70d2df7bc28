"""Cut edges into blocks, and sum the values of a block into atoms in a fixed order, without atomic adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from orbmm.model.network.grouping import Grouping, group_rows

KEY_BITS = 63  # of an int64, without its sign


@dataclass(frozen=True)
class EdgeBlock:
    """C edges that are computed together.

    rows: their range among all edges; senders, receivers: (C,)
    by_sender, by_receiver: the edges grouped by either atom
    """

    rows: slice
    senders: Tensor
    receivers: Tensor
    by_sender: Grouping
    by_receiver: Grouping

    def __len__(self) -> int:
        return self.senders.shape[0]


def cut_into_blocks(senders: Tensor, receivers: Tensor, atoms: int, edges_per_block: int) -> list[EdgeBlock]:
    """Return blocks of at most edges_per_block edges, in the order of the edges.

    senders, receivers: (E,) int64, in any order (edges sorted by sender need fewer sums)
    """
    edges = len(senders)
    block = torch.arange(edges, device=senders.device) // edges_per_block  # (E,)
    by_sender = list(_group(senders, block, atoms, edges_per_block))
    by_receiver = list(_group(receivers, block, atoms, edges_per_block))
    blocks = []
    for index, begin in enumerate(range(0, edges, edges_per_block)):
        rows = slice(begin, min(begin + edges_per_block, edges))
        blocks.append(EdgeBlock(rows, senders[rows], receivers[rows], by_sender[index], by_receiver[index]))
    return blocks


def cut_into_fixed_blocks(senders: Tensor, receivers: Tensor, atoms: int, edges_per_block: int) -> list[EdgeBlock]:
    """Return the same blocks, with sums in the same order, without reading any value back to the host.

    Each grouping lists every atom, also those without edges in the block. For many atoms in many blocks that is slow.
    """
    limits = torch.arange(atoms + 1, device=senders.device)
    blocks = []
    for begin in range(0, len(senders), edges_per_block):
        rows = slice(begin, min(begin + edges_per_block, len(senders)))
        groupings = [group_rows(ends, limits) for ends in (senders[rows], receivers[rows])]
        blocks.append(EdgeBlock(rows, senders[rows], receivers[rows], *groupings))
    return blocks


def _group(ends: Tensor, block: Tensor, atoms: int, edges_per_block: int) -> Iterator[Grouping]:
    """Yield one grouping for each block: sort all edges stably by block and atom, then cut where either changes."""
    edges = len(ends)
    if edges == 0:
        return
    blocks = -(-edges // edges_per_block)
    keys, order = _sort_stably(block * atoms + ends, blocks * atoms)  # (E,), (E,)
    changed = torch.ones(edges, dtype=torch.bool, device=ends.device)
    changed[1:] = keys[1:] != keys[:-1]
    starts = changed.nonzero().squeeze(1)  # (A of all blocks,)
    owners = keys.index_select(0, starts) % atoms
    firsts = torch.arange(0, edges, edges_per_block, device=ends.device)
    cuts = [*torch.searchsorted(starts, firsts).tolist(), len(starts)]
    for index, (begin, end) in enumerate(pairwise(cuts)):
        first = index * edges_per_block
        last = min(first + edges_per_block, edges)
        limits = torch.cat([starts[begin:end], starts.new_full((1,), last)]) - first
        yield Grouping(order[first:last] - first, limits, owners[begin:end])


def _sort_stably(keys: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return the sorted keys (E,), all below the limit, and their indices before the sort."""
    bits = len(keys).bit_length()
    if keys.device.type == "cpu" and limit.bit_length() + bits <= KEY_BITS:
        # Key and index packed in one integer: NumPy sorts integers with vector instructions.
        packed = torch.from_numpy(np.sort((keys << bits | torch.arange(len(keys), device=keys.device)).numpy()))
        return packed >> bits, packed & ((1 << bits) - 1)
    keys, order = keys.sort(stable=True)
    return keys, order
