"""The edge update in plain PyTorch, with the same roundings as the fused kernels: their reference in tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.protocol import FinishOutputs, FinishWeights


class PlainEdgeKernels:
    """See EdgeKernels. Products are computed in float32 from stored values, and rounded when they are stored."""

    def start(
        self,
        edges: Tensor,
        matrix: Tensor,
        parts: tuple[Tensor, Tensor],
        block: EdgeBlock,
        outputs: tuple[Tensor | None, Tensor | None],
    ) -> None:
        """See EdgeKernels.start."""
        total = edges.float() @ matrix.float().t()  # (C, H)
        for part, index in zip(parts, (block.senders, block.receivers), strict=True):
            total += part.index_select(0, index)
        before, after = outputs
        if before is not None:
            before.copy_(total)
        if after is not None:
            after.copy_(F.silu(total))

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """See EdgeKernels.multiply."""
        hidden.copy_(torch.addmm(bias.float(), active.float(), matrix.float().t()))

    def finish(
        self, hidden: Tensor, weights: FinishWeights, edges: Tensor, envelope: Tensor, outputs: FinishOutputs
    ) -> None:
        """See EdgeKernels.finish."""
        features = edges.float()
        outputs.gates.copy_(torch.sigmoid(F.linear(features, weights.gates, weights.gate_bias)) * envelope[:, None])
        active = F.silu(hidden.float()).to(hidden.dtype).float()
        output = torch.addmm(weights.bias, active, weights.matrix.float().t())  # (C, D)
        if outputs.raw is not None:
            outputs.raw.copy_(output)
        message = F.rms_norm(output, output.shape[1:], weights.scale, torch.finfo(torch.float32).eps)
        outputs.message.copy_(message)
        if outputs.edges is not None:
            outputs.edges.copy_(features + message)

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """See EdgeKernels.add_messages."""
        values = message.float()
        for column, grouping in enumerate((block.by_receiver, block.by_sender)):
            grouping.add_to(totals[column], values, gates[:, column])
