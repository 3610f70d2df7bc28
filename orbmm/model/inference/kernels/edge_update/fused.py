"""The edge update in Triton kernels around one product of cuBLAS; imported only when it is requested."""

from __future__ import annotations

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update import finish, start, sums
from orbmm.model.inference.kernels.edge_update.protocol import FinishOutputs, FinishWeights
from orbmm.model.inference.kernels.edge_update.tiles import Tiles


class FusedEdgeKernels:
    """See EdgeKernels. tiles: those of the GPU."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles

    def start(
        self,
        edges: Tensor,
        matrix: Tensor,
        parts: tuple[Tensor, Tensor],
        block: EdgeBlock,
        outputs: tuple[Tensor | None, Tensor | None],
    ) -> None:
        """See EdgeKernels.start."""
        start.launch(edges, matrix, parts, block, outputs, self._tiles.choose("start", edges.dtype.itemsize))

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """See EdgeKernels.multiply."""
        torch.addmm(bias, active, matrix.t(), out=hidden)

    def finish(
        self, hidden: Tensor, weights: FinishWeights, edges: Tensor, envelope: Tensor, outputs: FinishOutputs
    ) -> None:
        """See EdgeKernels.finish."""
        tile = self._tiles.choose("finish", edges.dtype.itemsize)
        finish.launch(hidden, weights, edges, envelope, outputs, tile)

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """See EdgeKernels.add_messages."""
        sums.launch(message, gates, block, totals)
