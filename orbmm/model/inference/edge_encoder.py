"""The encoder of the edges on a block of them, forward and backward: in separate steps, or in fused kernels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from orbmm.model.inference.fused_perceptron import FusedPerceptron, select_kept
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.perceptron import NormalizedPerceptron
from orbmm.model.precision import Precision


class EdgeEncoder(Protocol):
    """Turn the functions of C edge vectors, (C, R * A), into edge features (C, D)."""

    def run(self, shape: Tensor, edges: Tensor, keep: Keep, space: Workspace) -> Activations | None:
        """Write edges (C, D), and return the activations that `keep` names. shape: (C, R * A)."""

    def backward(self, gradient: Tensor, shape: Tensor, kept: Activations | None, space: Workspace) -> Tensor:
        """Return the gradient by shape (C, R * A). gradient: (C, D), by the edges; kept: what `run` returned."""


def build_edge_encoder(perceptron: NormalizedPerceptron, precision: Precision, kernels: Kernels) -> EdgeEncoder:
    """Return the encoder of the edges: fused if the kernels have it, else in separate steps."""
    steps = PerceptronPass(perceptron, precision, kernels)
    if kernels.edge_update is None:
        return SeparateEdgeEncoder(steps)
    return FusedEdgeEncoder(perceptron, kernels.edge_update, steps)


class SeparateEdgeEncoder:
    """See EdgeEncoder. Each step writes its result to memory."""

    def __init__(self, steps: PerceptronPass) -> None:
        self._steps = steps

    def run(self, shape: Tensor, edges: Tensor, keep: Keep, space: Workspace) -> Activations | None:
        """See EdgeEncoder.run."""
        memory = FreshMemory(space.device)
        first = self._start(shape, memory if keep is Keep.ALL else space)  # (C, H)
        active = torch.ops.aten.silu.out(first, out=self._steps.place_active(first, keep, space))
        output, activations = self._steps.finish_and_trace(first, active, keep, space, memory)  # (C, D)
        edges.copy_(self._steps.normalize(output))
        return activations

    def backward(self, gradient: Tensor, shape: Tensor, kept: Activations | None, space: Workspace) -> Tensor:
        """See EdgeEncoder.backward."""
        first = kept.first if kept is not None else None
        if first is None:
            first = self._start(shape, space)  # (C, H)
        if kept is None:
            active = torch.ops.aten.silu.out(first, out=self._steps.place_active(first, Keep.ALL, space))
            kept = self._steps.finish_and_keep(first, active, space, space)
        return self._steps.backward_start(self._steps.backward(gradient, first, kept, space))

    def _start(self, shape: Tensor, memory: FreshMemory) -> Tensor:
        return self._steps.start(shape, memory).add_(self._steps.first_bias)


class FusedEdgeEncoder:
    """See EdgeEncoder. Edges and hidden values are stored in the type of the operands; see FusedEdgeUpdate."""

    def __init__(self, perceptron: NormalizedPerceptron, kernels: EdgeKernels, steps: PerceptronPass) -> None:
        self._perceptron, self._kernels, self._steps = FusedPerceptron(perceptron, steps, kernels), kernels, steps

    def run(self, shape: Tensor, edges: Tensor, keep: Keep, space: Workspace) -> Activations | None:
        """See EdgeEncoder.run."""
        memory, values = FreshMemory(space.device), self._perceptron.round_inputs(shape)
        hidden = self._perceptron.compute_hidden(values, self._perceptron.first_bias, keep, space, memory)
        raw = self._perceptron.take_raw(values, keep, memory)
        self._kernels.encode(hidden.last, self._perceptron.last, edges, raw)
        return select_kept(hidden, raw, keep)

    def backward(self, gradient: Tensor, shape: Tensor, kept: Activations | None, space: Workspace) -> Tensor:
        """See EdgeEncoder.backward."""
        values, bias = self._perceptron.round_inputs(shape), self._perceptron.first_bias
        kept = self._perceptron.recompute(values, bias, space) if kept is None else kept
        hidden = self._perceptron.complete(values, bias, kept, space)
        first, others = self._perceptron.convert(hidden, kept.output)
        return self._steps.backward_start(self._steps.backward(gradient, first, others, space))
