"""Sum rows that share an index, on a GPU in a fixed order without atomic adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """Rows, grouped by atom.

    order: (C,) the rows, those of one atom next to each other
    starts: (A + 1,) index in `order` where each atom begins, and the end
    atoms: (A,) the atoms, each once
    """

    order: Tensor
    starts: Tensor
    atoms: Tensor

    def sum_rows(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the sum (A, W) of the rows of values (C, W) of each atom, each row times its weight (C,)."""
        if weights is not None:
            weights = weights.index_select(0, self.order)  # (C,)
        return F.embedding_bag(
            self.order, values, self.starts, mode="sum", per_sample_weights=weights, include_last_offset=True
        )  # (A, W)

    def add_to(self, totals: Tensor, values: Tensor, weights: Tensor | None = None) -> None:
        """Add the rows of values (C, W), each times its weight (C,), to the rows of totals (N, W) of their atoms."""
        sums = self.sum_rows(values, weights)
        totals.index_add_(0, self.atoms, sums)  # each atom once: no two rows are added to the same place


def group_rows(index: Tensor, limits: Tensor) -> Grouping:
    """Return the rows of index (C,) grouped by all N atoms, also those without a row, without a host wait.

    limits: (N + 1,) the numbers 0 ... N on the device of the index
    """
    keys, order = index.sort(stable=True)  # (C,), (C,)
    return Grouping(order, torch.searchsorted(keys, limits), limits[:-1])


def sum_by_index(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum the rows of values (E, ...) that share an index; returns (count, ...).

    The order of the sum is always the same, except in compiled code on a GPU.
    """
    if not values.is_cuda:
        return values.new_zeros((count, *values.shape[1:])).index_add(0, index, values)
    if torch.compiler.is_compiling():
        return values.new_zeros((count, *values.shape[1:])).index_put((index,), values, accumulate=True)
    # On a GPU index_add adds in a random order, and index_put in one that depends on the version of torch.
    return _OrderedSum.apply(values, index, group_rows(index, torch.arange(count + 1, device=index.device)))


class _OrderedSum(torch.autograd.Function):
    """Sum rows in groups; differentiable any number of times, which embedding_bag is not."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, grouping: Grouping) -> Tensor:
        ctx.index, ctx.grouping = index, grouping
        rows = values.flatten(1) if values.dim() > 1 else values.unsqueeze(1)  # (E, W)
        shape = (len(grouping.atoms), *values.shape[1:])
        return grouping.sum_rows(rows).reshape(shape) if len(values) else values.new_zeros(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _OrderedTake.apply(gradients[0], ctx.index, ctx.grouping), None, None


class _OrderedTake(torch.autograd.Function):
    """Take rows by their index: the gradient of the sum, whose own gradient is the sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, grouping: Grouping) -> Tensor:
        ctx.index, ctx.grouping = index, grouping
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _OrderedSum.apply(gradients[0], ctx.index, ctx.grouping), None, None
