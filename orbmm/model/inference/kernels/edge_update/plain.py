"""The edge update in plain PyTorch, with the same roundings as the fused kernels: their reference in tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    GateInputs,
    HiddenOutputs,
    MessageOutputs,
    NormWeights,
)


class PlainEdgeKernels:
    """See EdgeKernels. Products are computed in float32 from stored values, and rounded when they are stored."""

    def start(self, values: Tensor, matrix: Tensor, added: AtomParts | Tensor, outputs: HiddenOutputs) -> None:
        """See EdgeKernels.start."""
        total = values.float() @ matrix.float().t()  # (C, H)
        if isinstance(added, AtomParts):
            total += added.for_senders.index_select(0, added.senders)
            total += added.for_receivers.index_select(0, added.receivers)
        else:
            total += added
        if outputs.before is not None:
            outputs.before.copy_(total)
        if outputs.after is not None:
            outputs.after.copy_(F.silu(total))

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """See EdgeKernels.multiply."""
        hidden.copy_(torch.addmm(bias.float(), active.float(), matrix.float().t()))

    def encode(self, hidden: Tensor, weights: NormWeights, edges: Tensor, raw: Tensor | None) -> None:
        """See EdgeKernels.encode."""
        edges.copy_(_normalize(hidden, weights, raw))

    def finish(
        self, hidden: Tensor, weights: NormWeights, gate: GateInputs, outputs: MessageOutputs, raw: Tensor | None
    ) -> None:
        """See EdgeKernels.finish."""
        features = gate.edges.float()
        outputs.gates.copy_(torch.sigmoid(F.linear(features, gate.matrix, gate.bias)) * gate.envelope[:, None])
        message = _normalize(hidden, weights, raw)
        outputs.message.copy_(message)
        if outputs.edges is not None:
            outputs.edges.copy_(features + message)

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """See EdgeKernels.add_messages."""
        values = message.float()
        for column, grouping in enumerate((block.by_receiver, block.by_sender)):
            grouping.add_to(totals[column], values, gates[:, column])


def _normalize(hidden: Tensor, weights: NormWeights, raw: Tensor | None) -> Tensor:
    active = F.silu(hidden.float()).to(hidden.dtype).float()
    output = torch.addmm(weights.bias, active, weights.matrix.float().t())  # (C, D)
    if raw is not None:
        raw.copy_(output)
    return F.rms_norm(output, output.shape[1:], weights.scale, torch.finfo(torch.float32).eps)
