"""The steps in plain PyTorch: used on a CPU, and as reference for the GPU kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.grouping import Grouping


class PlainKernels:
    """See Kernels."""

    def __init__(self, edge_update: EdgeKernels | None = None) -> None:
        self.edge_update = edge_update

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
        grouping.add_to(totals, values.to(totals.dtype), weights)

    def backward_sums(
        self, gradients: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, grad_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Kernels.backward_sums."""
        at_receivers = gradients[0].index_select(0, block.receivers)  # (C, D)
        at_senders = gradients[1].index_select(0, block.senders)  # (C, D)
        grad_gates = torch.stack(
            [(message * at_receivers).sum(dim=1), (message * at_senders).sum(dim=1)], dim=1
        )  # (C, 2)
        grad_message = torch.addcmul(grad_edges, at_receivers, gates[:, :1]).addcmul_(
            at_senders, gates[:, 1:]
        )  # (C, D)
        return grad_message, grad_gates

    def normalize(self, output: Tensor, scale: Tensor) -> Tensor:
        """See Kernels.normalize."""
        return output * _invert_size(output) * scale  # (C, D)

    def backward_norm(self, gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        """See Kernels.backward_norm."""
        inverse = _invert_size(output)  # (C, 1)
        scaled = gradient * scale  # (C, D)
        along = (scaled * output).mean(dim=1, keepdim=True) * inverse.square()  # (C, 1)
        return torch.addcmul(scaled, output, along, value=-1.0).mul_(inverse)


def _invert_size(output: Tensor) -> Tensor:
    """Return one over the root mean square of each row, (C, 1), with the epsilon of torch.nn.RMSNorm."""
    squares = torch.linalg.vector_norm(output, dim=1, keepdim=True).square() / output.shape[1]  # (C, 1)
    return torch.rsqrt(squares + torch.finfo(output.dtype).eps)
