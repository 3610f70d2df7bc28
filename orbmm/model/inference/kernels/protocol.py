"""What a set of kernels gives: the steps of a layer that wait for memory, not for arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock, Grouping
from orbmm.model.inference.workspace import Workspace

if TYPE_CHECKING:
    import triton.language as tl


class Kernels(Protocol):
    """The steps, on a block of C edges between N atoms; the same input gives the same numbers, to the last bit."""

    def gather_add_silu(
        self, first: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, active: Tensor | None
    ) -> None:
        """Add to the first hidden values (C, H) what their senders and receivers contribute; then their SiLU.

        parts: (N, H) each, of senders and receivers
        active: (C, H), where the SiLU goes; `first` itself to overwrite it, None for no SiLU
        """

    def add_sums(self, totals: Tensor, values: Tensor, grouping: Grouping, weights: Tensor | None = None) -> None:
        """Add the rows of values (C, W), each times its weight (C,), to the rows of totals (N, W) of their atoms."""

    def pull_back_sums(
        self, slopes: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, by_edges: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The derivative of the two gated sums by messages (C, D), by_edges (C, D) added, and by gates (C, 2).

        slopes: (N, D) each, by what atoms received and sent; message: (C, D); gates: (C, 2)
        """

    def normalize(self, output: Tensor, scale: Tensor) -> Tensor:
        """Scale rows (C, D) to unit root mean square, times the learned weight (D,)."""

    def pull_back_norm(self, slope: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        """The derivative of `normalize` by output (C, D), from that by its result (C, D)."""


def accumulate_in(values: Tensor) -> tl.dtype:
    """Return the float type that a Triton kernel computes in: float64 for float64 values, float32 for all others."""
    import triton.language as tl  # absent on machines that use only the plain kernels

    return tl.float64 if values.dtype == torch.float64 else tl.float32
