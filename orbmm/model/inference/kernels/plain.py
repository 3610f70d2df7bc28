"""The steps in plain PyTorch: what runs on a CPU, and what the kernels of a GPU are compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock, Grouping
from orbmm.model.inference.workspace import Workspace


class PlainKernels:
    """See Kernels."""

    def gather_add_silu(
        self, first: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, active: Tensor | None
    ) -> None:
        """See Kernels.gather_add_silu."""
        gathered = space.take("gathered", len(first), first.shape[1], first.dtype)
        for part, index in zip(parts, (block.senders, block.receivers), strict=True):
            first += torch.index_select(part, 0, index, out=gathered)
        if active is first:
            F.silu(first, inplace=True)
        elif active is not None:
            torch.ops.aten.silu.out(first, out=active)

    def add_sums(self, totals: Tensor, values: Tensor, grouping: Grouping, weights: Tensor | None = None) -> None:
        """See Kernels.add_sums."""
        grouping.add_to(totals, values, weights)

    def pull_back_sums(
        self, slopes: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, by_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Kernels.pull_back_sums."""
        at_receivers = slopes[0].index_select(0, block.receivers)  # (C, D)
        at_senders = slopes[1].index_select(0, block.senders)  # (C, D)
        by_gates = torch.stack(
            [(message * at_receivers).sum(dim=1), (message * at_senders).sum(dim=1)], dim=1
        )  # (C, 2)
        by_message = torch.addcmul(by_edges, at_receivers, gates[:, :1]).addcmul_(at_senders, gates[:, 1:])  # (C, D)
        return by_message, by_gates

    def normalize(self, output: Tensor, scale: Tensor) -> Tensor:
        """See Kernels.normalize."""
        return output * _invert_size(output) * scale  # (C, D)

    def pull_back_norm(self, slope: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        """See Kernels.pull_back_norm."""
        inverse = _invert_size(output)  # (C, 1)
        scaled = slope * scale  # (C, D)
        along = (scaled * output).mean(dim=1, keepdim=True) * inverse.square()  # (C, 1)
        return torch.addcmul(scaled, output, along, value=-1.0).mul_(inverse)


def _invert_size(output: Tensor) -> Tensor:
    """One over the root mean square of each row, (C, 1), as torch.nn.RMSNorm takes it."""
    squares = torch.linalg.vector_norm(output, dim=1, keepdim=True).square() / output.shape[1]  # (C, 1)
    return torch.rsqrt(squares + torch.finfo(output.dtype).eps)
