"""The interface of the kernels that carry out a whole edge update, and the arrays that they read and write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock


@dataclass(frozen=True)
class FinishWeights:
    """Weights of the last kernel of an edge update.

    matrix: (D, H), in the type of the operands
    bias, scale: (D,), of the product and of the RMSNorm; gates: (2, D), gate_bias: (2,), receive and send; all float32
    """

    matrix: Tensor
    bias: Tensor
    scale: Tensor
    gates: Tensor
    gate_bias: Tensor


@dataclass(frozen=True)
class FinishOutputs:
    """Arrays that the last kernel writes, for C edges; None for what is not needed.

    message: (C, D); gates: (C, 2) float32, receive and send, times the envelope
    edges: (C, D), edges plus messages, may be the edges themselves; raw: (C, D), the output before the RMSNorm
    """

    message: Tensor
    gates: Tensor
    edges: Tensor | None = None
    raw: Tensor | None = None


class EdgeKernels(Protocol):
    """The edge update of a block of C edges between N atoms, step by step; the same input gives the same bits.

    Edges, hidden values and messages are stored in the type of the operands. Sums, norms and gates are in float32.
    """

    def start(
        self,
        edges: Tensor,
        matrix: Tensor,
        parts: tuple[Tensor, Tensor],
        block: EdgeBlock,
        outputs: tuple[Tensor | None, Tensor | None],
    ) -> None:
        """Write the first hidden values (C, H), before and after SiLU, to the outputs that are not None.

        edges: (C, D); matrix: (H, D); parts: (N, H) each, of senders and receivers, bias included
        """

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """Write the next hidden values (C, H). active: (C, H), after SiLU; matrix: (H, H); bias: (H,)."""

    def finish(
        self, hidden: Tensor, weights: FinishWeights, edges: Tensor, envelope: Tensor, outputs: FinishOutputs
    ) -> None:
        """Write messages, gates and new edges. hidden: (C, H), before SiLU; edges: (C, D); envelope: (C,)."""

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """Add messages (C, D), times their gates (C, 2), to the received and sent totals of the atoms, (N, D) each."""
