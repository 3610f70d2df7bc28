"""The interface of the kernels that carry out a whole edge update, and the arrays that they read and write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock


@dataclass(frozen=True)
class AtomParts:
    """The contributions of both atoms of C edges to the first hidden values.

    for_senders, for_receivers: (N, H) each, one of them with the bias; senders, receivers: (C,)
    """

    for_senders: Tensor
    for_receivers: Tensor
    senders: Tensor
    receivers: Tensor


@dataclass(frozen=True)
class HiddenOutputs:
    """The first hidden values (C, H), before and after SiLU, to be written; None for those that are not needed."""

    before: Tensor | None
    after: Tensor | None


@dataclass(frozen=True)
class NormWeights:
    """Weights of the last product and of the RMSNorm after it.

    matrix: (D, H), in the type of the operands; bias, scale: (D,) float32, of the product and of the RMSNorm
    """

    matrix: Tensor
    bias: Tensor
    scale: Tensor


@dataclass(frozen=True)
class GateInputs:
    """The inputs of the gates of C edges; messages are added to the edges.

    edges: (C, D); envelope: (C,); matrix: (2, D), bias: (2,), of the receive and send gates, float32
    """

    edges: Tensor
    envelope: Tensor
    matrix: Tensor
    bias: Tensor


@dataclass(frozen=True)
class MessageOutputs:
    """Arrays that the last kernel of an edge update writes for C edges.

    message: (C, D); gates: (C, 2) float32, receive and send, times the envelope
    edges: (C, D), edges plus messages, may be the edges themselves; None if they are not needed
    """

    message: Tensor
    gates: Tensor
    edges: Tensor | None


@dataclass(frozen=True)
class MessageGradients:
    """Gradients around the messages of C edges, all float32.

    received, sent: (N, D), by the sums over the edges of an atom; receivers, senders: (C,), the atoms of the edges
    edges: (C, D), by the new edges, changed in place to those by the old ones; envelope: (C,), added to
    """

    received: Tensor
    sent: Tensor
    receivers: Tensor
    senders: Tensor
    edges: Tensor
    envelope: Tensor


class EdgeKernels(Protocol):
    """The edge update of a block of C edges between N atoms, step by step; the same input gives the same bits.

    Edges, hidden values and messages are stored in the type of the operands. Sums, norms and gates are in float32.
    """

    def start(self, values: Tensor, matrix: Tensor, added: AtomParts | Tensor, outputs: HiddenOutputs) -> None:
        """Compute the first hidden values (C, H) of values (C, inputs), and their SiLU.

        matrix: (H, inputs); added: the parts of both atoms, or for the encoder a bias (H,)
        """

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """Write the next hidden values (C, H). active: (C, H), after SiLU; matrix: (H, H); bias: (H,)."""

    def encode(self, hidden: Tensor, weights: NormWeights, edges: Tensor, raw: Tensor | None) -> None:
        """Write the normalised output of a perceptron to edges (C, D), and that before the RMSNorm to raw (C, D).

        hidden: (C, H), before SiLU
        """

    def finish(
        self, hidden: Tensor, weights: NormWeights, gate: GateInputs, outputs: MessageOutputs, raw: Tensor | None
    ) -> None:
        """Write the normalised output as messages, and gates and new edges in the same kernel; see encode."""

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """Add messages (C, D), times their gates (C, 2), to the received and sent totals of the atoms, (N, D) each."""

    def backward_finish(
        self,
        kept: tuple[Tensor, Tensor],
        weights: NormWeights,
        gate: GateInputs,
        gradients: MessageGradients,
        result: Tensor,
    ) -> None:
        """Write the gradient by the last hidden values before SiLU to result (C, H); the reverse of finish.

        kept: last hidden values (C, H), and raw output (C, D); gradients: changed by what comes through the gates
        """

    def backward_multiply(self, gradient: Tensor, matrix: Tensor, result: Tensor) -> None:
        """Write the gradient by active values (C, H); the reverse of multiply. gradient: (C, H), by hidden values."""

    def backward_start(self, gradient: Tensor, first: Tensor | None, matrix: Tensor, edges: Tensor) -> None:
        """Add the gradient by the edges of an update to edges (C, D) float32; the reverse of start.

        gradient: (C, H), by the first hidden values after SiLU, changed to those before it; matrix: (H, D)
        first: (C, H), before SiLU; None if the gradient is already by these
        """
