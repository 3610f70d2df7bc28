"""The edge update of one layer on a block of edges, forward and backward: in separate steps, or in fused kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.fused_perceptron import FusedPerceptron, select_kept
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    EdgeKernels,
    GateInputs,
    MessageGradients,
    MessageOutputs,
)
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.network import InteractionLayer
from orbmm.model.precision import Precision


@dataclass(frozen=True)
class EdgeInputs:
    """The arrays that the edge update of a layer reads.

    edges: (E, D); envelope: (E,)
    parts: (N, H) each, the contributions of senders and receivers to the first hidden values, bias included
    """

    edges: Tensor
    envelope: Tensor
    parts: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class EdgeGradients:
    """Gradients around the edge update of a layer.

    received, sent: (N, D) each, by the sums of the messages
    edges: (E, D), envelope: (E,), by the outputs; changed in place to those by the inputs
    parts: (N, H) each, by the parts; added to. None if they are not needed
    """

    received: Tensor
    sent: Tensor
    edges: Tensor
    envelope: Tensor
    parts: tuple[Tensor, Tensor] | None


class EdgeUpdate(Protocol):
    """Compute messages, add them to the edges, and sum them into atoms: one block of C edges at a time."""

    stored: torch.dtype
    """The type of the edge features between layers."""

    def run(
        self,
        inputs: EdgeInputs,
        block: EdgeBlock,
        totals: tuple[Tensor, Tensor],
        after: Tensor | None,
        keep: Keep,
        space: Workspace,
    ) -> Activations | None:
        """Return the activations that `keep` names.

        totals: (N, D) each, received and sent; the gated messages are added
        after: (E, D), receives the new edges, may be the edges of the inputs; None if they are not needed
        """

    def backward(
        self, inputs: EdgeInputs, block: EdgeBlock, kept: Activations | None, gradients: EdgeGradients, space: Workspace
    ) -> None:
        """Change the gradients from those by the outputs to those by the inputs. kept: what `run` returned."""


def build_edge_update(layer: InteractionLayer, precision: Precision, kernels: Kernels) -> EdgeUpdate:
    """Return the edge update of a layer: fused if the kernels have it, else in separate steps."""
    steps = SeparateEdgeUpdate(layer, precision, kernels)
    return steps if kernels.edge_update is None else FusedEdgeUpdate(layer, kernels.edge_update, steps)


class SeparateEdgeUpdate:
    """See EdgeUpdate. Each step writes its result to memory, and edges are stored in the type of the geometry."""

    def __init__(self, layer: InteractionLayer, precision: Precision, kernels: Kernels) -> None:
        self.stored = precision.dtype
        width = layer._edge_mlp.mlp.first.weight.shape[1] // 3
        self.perceptron = PerceptronPass(layer._edge_mlp, precision, kernels, slice(0, width))
        self.kernels = kernels
        self.gates, self.gate_bias = read_gates(layer)

    def run(
        self,
        inputs: EdgeInputs,
        block: EdgeBlock,
        totals: tuple[Tensor, Tensor],
        after: Tensor | None,
        keep: Keep,
        space: Workspace,
    ) -> Activations | None:
        """See EdgeUpdate.run."""
        memory = FreshMemory(space.device)
        mine = inputs.edges[block.rows]  # (C, D)
        gates = self._open_gates(mine) * inputs.envelope[block.rows, None]  # (C, 2)
        first = self.perceptron.start(mine, memory if keep is Keep.ALL else space)  # (C, H)
        active = self.perceptron.place_active(first, keep, space)
        self.kernels.gather_add_silu(first, inputs.parts, block, space, active)
        output, kept = self.perceptron.finish_and_trace(first, active, keep, space, memory)  # (C, D)
        message = self.perceptron.normalize(output)  # (C, D)
        self.kernels.add_sums(totals[0], message, block.by_receiver, gates[:, 0])
        self.kernels.add_sums(totals[1], message, block.by_sender, gates[:, 1])
        if after is not None:
            torch.add(mine, message, out=after[block.rows])
        return kept

    def backward(
        self, inputs: EdgeInputs, block: EdgeBlock, kept: Activations | None, gradients: EdgeGradients, space: Workspace
    ) -> None:
        """See EdgeUpdate.backward."""
        if kept is None:
            first = self.perceptron.start(inputs.edges[block.rows], space)  # (C, H)
            active = self.perceptron.place_active(first, Keep.ALL, space)
            self.kernels.gather_add_silu(first, inputs.parts, block, space, active)
            kept = self.perceptron.finish_and_keep(first, active, space, space)
        elif kept.first is None:
            first = self.perceptron.start(inputs.edges[block.rows], space)
            self.kernels.gather_add_silu(first, inputs.parts, block, space, None)
        else:
            first = kept.first
        self._differentiate(inputs, block, first, kept, gradients, space)

    def _differentiate(
        self,
        inputs: EdgeInputs,
        block: EdgeBlock,
        first: Tensor,
        kept: Activations,
        gradients: EdgeGradients,
        space: Workspace,
    ) -> None:
        """Do what `backward` does. first: (C, H), the first hidden values; kept: all other activations."""
        mine = inputs.edges[block.rows].to(gradients.edges.dtype)  # (C, D)
        message = self.perceptron.normalize(kept.output)  # (C, D)
        open_, cut = self._open_gates(mine), inputs.envelope[block.rows, None]  # (C, 2), (C, 1)
        grad_edges = gradients.edges[block.rows]  # (C, D), a view: the residual connection adds to it
        by_sums = (gradients.received, gradients.sent)
        grad_message, grad_gates = self.kernels.backward_sums(
            by_sums, message, open_ * cut, block, grad_edges
        )  # (C, D), (C, 2)
        grad_hidden = self.perceptron.backward(grad_message, first, kept, space)  # (C, H)
        grad_edges += self.perceptron.backward_start(grad_hidden)
        grad_edges += (grad_gates * cut * open_ * (1.0 - open_)) @ self.gates
        gradients.envelope[block.rows] += (grad_gates * open_).sum(dim=1)
        if gradients.parts is not None:
            self.kernels.add_sums(gradients.parts[0], grad_hidden, block.by_sender)
            self.kernels.add_sums(gradients.parts[1], grad_hidden, block.by_receiver)

    def _open_gates(self, edges: Tensor) -> Tensor:
        """Return the receive and send gates (C, 2) of edges (C, D), without the envelope."""
        return torch.sigmoid(torch.addmm(self.gate_bias, edges, self.gates.t()))


class FusedEdgeUpdate:
    """See EdgeUpdate. Few kernels; edges, hidden values and messages are stored in the type of the operands.

    steps: the same layer in separate steps, for its weights and its kernels
    Raises ModelError for widths that cannot be divided into tiles.
    """

    def __init__(self, layer: InteractionLayer, kernels: EdgeKernels, steps: SeparateEdgeUpdate) -> None:
        self._perceptron = FusedPerceptron(layer._edge_mlp, steps.perceptron, kernels)
        self.stored = self._perceptron.stored
        self._kernels, self._steps = kernels, steps

    def run(
        self,
        inputs: EdgeInputs,
        block: EdgeBlock,
        totals: tuple[Tensor, Tensor],
        after: Tensor | None,
        keep: Keep,
        space: Workspace,
    ) -> Activations | None:
        """See EdgeUpdate.run."""
        edges, memory = inputs.edges[block.rows], FreshMemory(space.device)  # (C, D)
        hidden = self._perceptron.compute_hidden(edges, self._select_parts(inputs, block), keep, space, memory)
        raw = self._perceptron.take_raw(edges, keep, memory)
        place = None if after is None else after[block.rows]
        message = space.take("message", len(edges), edges.shape[1], self.stored)
        outputs = MessageOutputs(message, space.take("gates", len(edges), 2, torch.float32), place)
        self._kernels.finish(hidden.last, self._perceptron.last, self._select_gate(inputs, block), outputs, raw)
        self._kernels.add_messages(message, outputs.gates, block, totals)
        return select_kept(hidden, raw, keep)

    def backward(
        self, inputs: EdgeInputs, block: EdgeBlock, kept: Activations | None, gradients: EdgeGradients, space: Workspace
    ) -> None:
        """See EdgeUpdate.backward."""
        edges, parts = inputs.edges[block.rows], self._select_parts(inputs, block)
        kept = self._perceptron.recompute(edges, parts, space) if kept is None else kept
        hidden = self._perceptron.complete(edges, parts, kept, space)
        gate = self._select_gate(inputs, block)
        messages = MessageGradients(
            gradients.received,
            gradients.sent,
            block.receivers,
            block.senders,
            gradients.edges[block.rows],
            gradients.envelope[block.rows],
        )
        by_first = self._perceptron.backward(hidden, kept.output, gate, messages, space)  # (C, H)
        if gradients.parts is not None:
            self._steps.kernels.add_sums(gradients.parts[0], by_first, block.by_sender)
            self._steps.kernels.add_sums(gradients.parts[1], by_first, block.by_receiver)

    def _select_gate(self, inputs: EdgeInputs, block: EdgeBlock) -> GateInputs:
        rows = block.rows
        return GateInputs(inputs.edges[rows], inputs.envelope[rows], self._steps.gates, self._steps.gate_bias)

    def _select_parts(self, inputs: EdgeInputs, block: EdgeBlock) -> AtomParts:
        return AtomParts(*inputs.parts, block.senders, block.receivers)


def read_gates(layer: InteractionLayer) -> tuple[Tensor, Tensor]:
    """Return the weights (2, D) and biases (2,) of the receive and send gates."""
    gates = (layer._receive_attn, layer._send_attn)
    return torch.cat([gate.weight.detach() for gate in gates]), torch.cat([gate.bias.detach() for gate in gates])
