"""The interface of a set of kernels: the steps of a layer that are limited by memory, not by arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.grouping import Grouping

if TYPE_CHECKING:
    import triton.language as tl


class Kernels(Protocol):
    """The steps on a block of C edges between N atoms; the same input always gives the same bits."""

    edge_update: EdgeKernels | None
    """Kernels that carry out the whole edge update of a layer, None for separate steps."""

    def gather_add_silu(
        self, first: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, active: Tensor | None
    ) -> None:
        """Add the parts of senders and receivers to the first hidden values (C, H), then apply SiLU.

        parts: (N, H) each, of senders and receivers
        active: (C, H), receives SiLU; `first` itself to overwrite it, None for no SiLU
        """

    def add_sums(self, totals: Tensor, values: Tensor, grouping: Grouping, weights: Tensor | None = None) -> None:
        """Add the rows of values (C, W), each times its weight (C,), to the rows of totals (N, W) of their atoms.

        values: of any float type; the sums are in the type of the totals
        """

    def backward_sums(
        self, gradients: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, grad_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of the two gated sums by messages (C, D), plus grad_edges, and by gates (C, 2).

        gradients: (N, D) each, by the received and sent sums; message, grad_edges: (C, D); gates: (C, 2)
        """

    def normalize(self, output: Tensor, scale: Tensor) -> Tensor:
        """Scale rows (C, D) to unit root mean square, times the learned weight (D,)."""

    def backward_norm(self, gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        """Return the gradient of `normalize` by output (C, D). gradient: (C, D), by its result."""


def accumulate_in(values: Tensor) -> tl.dtype:
    """Return the float type that a Triton kernel computes in: float64 for float64 values, float32 for all others."""
    import triton.language as tl  # absent on machines that use only the plain kernels

    return tl.float64 if values.dtype == torch.float64 else tl.float32
