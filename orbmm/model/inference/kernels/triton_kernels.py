"""The steps as Triton kernels; imported only when they are requested."""

from __future__ import annotations

from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels import gated_sum, gather_add_silu, rms_norm
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.grouping import Grouping


class TritonKernels:
    """See Kernels. float16 and bfloat16 values are summed in float32, float64 values in float64."""

    def __init__(self, edge_update: EdgeKernels | None = None) -> None:
        self.edge_update = edge_update

    def gather_add_silu(
        self, first: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, active: Tensor | None
    ) -> None:
        gather_add_silu.launch(first, parts, block.senders, block.receivers, active)

    def add_sums(self, totals: Tensor, values: Tensor, grouping: Grouping, weights: Tensor | None = None) -> None:
        gated_sum.launch_sums(totals, values.contiguous(), grouping, weights)

    def backward_sums(
        self, gradients: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, grad_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        received, sent = (gradient.contiguous() for gradient in gradients)  # both are slices of one array, (N, 3 D)
        return gated_sum.launch_backward((received, sent), message, gates.contiguous(), block, grad_edges)

    def normalize(self, output: Tensor, scale: Tensor) -> Tensor:
        return rms_norm.launch(output.contiguous(), scale)

    def backward_norm(self, gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        return rms_norm.launch_backward(gradient.contiguous(), output.contiguous(), scale)
