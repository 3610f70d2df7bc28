"""The edge update in Triton kernels around one product of cuBLAS; imported only when it is requested."""

from __future__ import annotations

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update import backward, finish, start, sums
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    GateInputs,
    HiddenOutputs,
    MessageGradients,
    MessageOutputs,
    NormWeights,
)
from orbmm.model.inference.kernels.edge_update.tiles import Tiles


class FusedEdgeKernels:
    """See EdgeKernels. tiles: those of the GPU."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles

    def start(self, values: Tensor, matrix: Tensor, added: AtomParts | Tensor, outputs: HiddenOutputs) -> None:
        """See EdgeKernels.start."""
        start.launch(values, matrix, added, outputs, self._tiles.choose("start", values.dtype.itemsize))

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """See EdgeKernels.multiply."""
        torch.addmm(bias, active, matrix.t(), out=hidden)

    def encode(self, hidden: Tensor, weights: NormWeights, edges: Tensor, raw: Tensor | None) -> None:
        """See EdgeKernels.encode."""
        finish.launch_encoder(hidden, weights, edges, raw, self._tiles.choose("finish", hidden.dtype.itemsize))

    def finish(
        self, hidden: Tensor, weights: NormWeights, gate: GateInputs, outputs: MessageOutputs, raw: Tensor | None
    ) -> None:
        """See EdgeKernels.finish."""
        finish.launch(hidden, weights, gate, outputs, raw, self._tiles.choose("finish", hidden.dtype.itemsize))

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """See EdgeKernels.add_messages."""
        sums.launch(message, gates, block, totals)

    def backward_finish(
        self,
        kept: tuple[Tensor, Tensor],
        weights: NormWeights,
        gate: GateInputs,
        gradients: MessageGradients,
        result: Tensor,
    ) -> None:
        """See EdgeKernels.backward_finish."""
        tile = self._tiles.choose("backward_finish", result.dtype.itemsize)
        backward.launch_finish(kept, weights, gate, gradients, result, tile)

    def backward_multiply(self, gradient: Tensor, matrix: Tensor, result: Tensor) -> None:
        """See EdgeKernels.backward_multiply."""
        torch.mm(gradient, matrix, out=result)

    def backward_start(self, gradient: Tensor, first: Tensor | None, matrix: Tensor, edges: Tensor) -> None:
        """See EdgeKernels.backward_start."""
        tile = self._tiles.choose("backward_start", gradient.dtype.itemsize)
        backward.launch_start(gradient, first, matrix, edges, tile)
