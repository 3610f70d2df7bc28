"""The edge update of one layer on a block of edges, forward and backward: in separate steps, or in fused kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from orbmm.errors import ModelError
from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels, FinishOutputs, FinishWeights
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.network import InteractionLayer
from orbmm.model.precision import Precision

NARROWEST = 16  # width of the smallest product of a GPU's matrix units


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
    return steps if kernels.edge_update is None else FusedEdgeUpdate(layer, precision, kernels.edge_update, steps)


class SeparateEdgeUpdate:
    """See EdgeUpdate. Each step writes its result to memory, and edges are stored in the type of the geometry."""

    def __init__(self, layer: InteractionLayer, precision: Precision, kernels: Kernels) -> None:
        self.stored = precision.dtype
        width = layer._edge_mlp.mlp.first.weight.shape[1] // 3
        self.perceptron = PerceptronPass(layer._edge_mlp, precision, kernels, slice(0, width))
        self._kernels = kernels
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
        self._kernels.gather_add_silu(first, inputs.parts, block, space, active)
        output, kept = self.perceptron.finish_and_trace(first, active, keep, space, memory)  # (C, D)
        message = self.perceptron.normalize(output)  # (C, D)
        self._kernels.add_sums(totals[0], message, block.by_receiver, gates[:, 0])
        self._kernels.add_sums(totals[1], message, block.by_sender, gates[:, 1])
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
            self._kernels.gather_add_silu(first, inputs.parts, block, space, active)
            kept = self.perceptron.finish_and_keep(first, active, space, space)
        elif kept.first is None:
            first = self.perceptron.start(inputs.edges[block.rows], space)
            self._kernels.gather_add_silu(first, inputs.parts, block, space, None)
        else:
            first = kept.first
        self.differentiate(inputs, block, first, kept, gradients, space)

    def differentiate(
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
        grad_message, grad_gates = self._kernels.backward_sums(
            by_sums, message, open_ * cut, block, grad_edges
        )  # (C, D), (C, 2)
        grad_hidden = self.perceptron.backward(grad_message, first, kept, space)  # (C, H)
        grad_edges += self.perceptron.backward_start(grad_hidden)
        grad_edges += (grad_gates * cut * open_ * (1.0 - open_)) @ self.gates
        gradients.envelope[block.rows] += (grad_gates * open_).sum(dim=1)
        if gradients.parts is not None:
            grad_hidden = grad_hidden.to(gradients.parts[0].dtype)
            self._kernels.add_sums(gradients.parts[0], grad_hidden, block.by_sender)
            self._kernels.add_sums(gradients.parts[1], grad_hidden, block.by_receiver)

    def _open_gates(self, edges: Tensor) -> Tensor:
        """Return the receive and send gates (C, 2) of edges (C, D), without the envelope."""
        return torch.sigmoid(torch.addmm(self.gate_bias, edges, self.gates.t()))


class FusedEdgeUpdate:
    """See EdgeUpdate. Few kernels; edges, hidden values and messages are stored in the type of the operands.

    The backward pass starts from what these kernels have stored, and works in separate steps.
    steps: the same layer in separate steps
    Raises ModelError for widths that cannot be divided into tiles.
    """

    def __init__(
        self, layer: InteractionLayer, precision: Precision, kernels: EdgeKernels, steps: SeparateEdgeUpdate
    ) -> None:
        self.stored = precision.operands or precision.dtype
        self._kernels, self._steps = kernels, steps
        (self._first, _), *self._middle, (last, _) = (
            (matrix.to(self.stored), bias.to(self.stored)) for matrix, bias in steps.perceptron.list_weights()
        )
        check_widths(*self._first.shape)
        bias = layer._edge_mlp.mlp.linear_layers[-1].bias.detach()
        scale = layer._edge_mlp.layer_norm.weight.detach()
        self._last = FinishWeights(last, bias, scale, steps.gates, steps.gate_bias)

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
        hidden = self._compute_hidden(inputs, block, keep, space, memory)
        raw = None if keep is Keep.NOTHING else self._take("raw", block, memory)
        outputs = self._finish(inputs, block, hidden[-1], space, (after, raw))
        self._kernels.add_messages(outputs.message, outputs.gates, block, totals)
        if raw is None:
            return None
        return Activations(hidden[0] if keep is Keep.ALL else None, tuple(hidden[1:]), raw)

    def backward(
        self, inputs: EdgeInputs, block: EdgeBlock, kept: Activations | None, gradients: EdgeGradients, space: Workspace
    ) -> None:
        """See EdgeUpdate.backward."""
        if kept is None:
            first, *later = hidden = self._compute_hidden(inputs, block, Keep.ALL, space, space)
            output = self._take("raw", block, space)
            self._finish(inputs, block, hidden[-1], space, (None, output))
        else:
            later, output = list(kept.later), kept.output
            first = self._recompute_first(inputs, block, space) if kept.first is None else kept.first
        given = self._steps.perceptron.stored  # on a CPU not that of the operands
        complete = Activations(None, tuple(each.to(given) for each in later), output.to(gradients.edges.dtype))
        self._steps.differentiate(inputs, block, first.to(given), complete, gradients, space)

    def _recompute_first(self, inputs: EdgeInputs, block: EdgeBlock, space: Workspace) -> Tensor:
        first = space.take("first", len(block), self._first.shape[0], self.stored)
        self._kernels.start(inputs.edges[block.rows], self._first, inputs.parts, block, (first, None))
        return first

    def _compute_hidden(
        self, inputs: EdgeInputs, block: EdgeBlock, keep: Keep, space: Workspace, memory: FreshMemory
    ) -> list[Tensor]:
        """Return the values of all hidden layers before SiLU, (C, H) each; `memory` allocates what is kept of them.

        The first values are not written, and the array is empty, if they are neither kept nor the only ones.
        """
        rows, columns = len(block), self._first.shape[0]
        needs_first = keep is Keep.ALL or not self._middle
        first = (memory if keep is Keep.ALL else space).take("first", rows if needs_first else 0, columns, self.stored)
        active = space.take("active", rows if self._middle else 0, columns, self.stored)
        outputs = (first if needs_first else None, active if self._middle else None)
        self._kernels.start(inputs.edges[block.rows], self._first, inputs.parts, block, outputs)
        hidden = [first]
        for number, (matrix, bias) in enumerate(self._middle):
            if number:
                torch.ops.aten.silu.out(hidden[-1], out=active)
            place = (space if keep is Keep.NOTHING else memory).take(f"later {number}", rows, columns, self.stored)
            self._kernels.multiply(active, matrix, bias, place)
            hidden.append(place)
        return hidden

    def _finish(
        self,
        inputs: EdgeInputs,
        block: EdgeBlock,
        hidden: Tensor,
        space: Workspace,
        results: tuple[Tensor | None, Tensor | None],
    ) -> FinishOutputs:
        """Return messages and gates. results: new edges (E, D) and raw output (C, D) to write, None for neither."""
        after, raw = results
        place = None if after is None else after[block.rows]
        gates = space.take("gates", len(block), 2, torch.float32)
        outputs = FinishOutputs(self._take("message", block, space), gates, place, raw)
        edges, envelope = inputs.edges[block.rows], inputs.envelope[block.rows]
        self._kernels.finish(hidden, self._last, edges, envelope, outputs)
        return outputs

    def _take(self, name: str, block: EdgeBlock, memory: FreshMemory) -> Tensor:
        return memory.take(name, len(block), self._first.shape[1], self.stored)


def read_gates(layer: InteractionLayer) -> tuple[Tensor, Tensor]:
    """Return the weights (2, D) and biases (2,) of the receive and send gates."""
    gates = (layer._receive_attn, layer._send_attn)
    return torch.cat([gate.weight.detach() for gate in gates]), torch.cat([gate.bias.detach() for gate in gates])


def check_widths(hidden: int, features: int) -> None:
    """Raise ModelError unless both widths are powers of two that a GPU's matrix units can divide."""
    if any(width < NARROWEST or width & (width - 1) for width in (hidden, features)):
        raise ModelError(
            f"kernels 'fused' need widths that are powers of two from {NARROWEST} on, got {features} features and "
            f'{hidden} hidden values: choose kernels = "triton" or "torch"'
        )
