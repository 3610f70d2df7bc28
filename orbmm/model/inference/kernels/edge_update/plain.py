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
    MessageGradients,
    MessageOutputs,
    NormWeights,
)

EPSILON = torch.finfo(torch.float32).eps  # of torch.nn.RMSNorm in float32


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

    def backward_finish(
        self,
        kept: tuple[Tensor, Tensor],
        weights: NormWeights,
        gate: GateInputs,
        gradients: MessageGradients,
        result: Tensor,
    ) -> None:
        """See EdgeKernels.backward_finish."""
        hidden, output = kept[0].float(), kept[1].float()
        open_ = torch.sigmoid(F.linear(gate.edges.float(), gate.matrix, gate.bias))  # (C, 2)
        gates, inverse = open_ * gate.envelope[:, None], torch.rsqrt(output.square().mean(1, keepdim=True) + EPSILON)
        message = output * inverse * weights.scale
        arriving = (
            gradients.received.index_select(0, gradients.receivers),
            gradients.sent.index_select(0, gradients.senders),
        )
        by_gates = torch.stack([(message * each).sum(dim=1) for each in arriving], dim=1)  # (C, 2)
        by_message = gradients.edges + arriving[0] * gates[:, :1] + arriving[1] * gates[:, 1:]  # (C, D)
        gradients.envelope.add_((by_gates * open_).sum(dim=1))
        gradients.edges.add_((by_gates * gates * (1.0 - open_)) @ gate.matrix)
        scaled = by_message * weights.scale
        along = (scaled * output).mean(dim=1, keepdim=True) * inverse.square()
        by_output = ((scaled - output * along) * inverse).to(result.dtype).float()
        result.copy_(_differentiate_silu(by_output @ weights.matrix.float(), hidden))

    def backward_multiply(self, gradient: Tensor, matrix: Tensor, result: Tensor) -> None:
        """See EdgeKernels.backward_multiply."""
        result.copy_(gradient.float() @ matrix.float())

    def backward_start(self, gradient: Tensor, first: Tensor | None, matrix: Tensor, edges: Tensor) -> None:
        """See EdgeKernels.backward_start."""
        if first is not None:
            gradient.copy_(_differentiate_silu(gradient.float(), first.float()))
        edges.add_(gradient.float() @ matrix.float())


def _differentiate_silu(gradient: Tensor, before: Tensor) -> Tensor:
    return torch.ops.aten.silu_backward(gradient, before)


def _normalize(hidden: Tensor, weights: NormWeights, raw: Tensor | None) -> Tensor:
    active = F.silu(hidden.float()).to(hidden.dtype).float()
    output = torch.addmm(weights.bias, active, weights.matrix.float().t())  # (C, D)
    if raw is not None:
        raw.copy_(output)
    return F.rms_norm(output, output.shape[1:], weights.scale, EPSILON)
