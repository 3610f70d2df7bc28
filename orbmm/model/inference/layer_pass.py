"""One interaction layer on edges in blocks, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.network import InteractionLayer
from orbmm.model.precision import Precision


@dataclass(frozen=True)
class LayerTrace:
    """Values of the forward pass saved for the backward pass through a layer.

    nodes: (N, D), edges: (E, D), the inputs of the edge perceptron
    received, sent: (N, D), the sums of the messages
    kept: activations of the edge perceptron of each block, None where they are recomputed
    """

    nodes: Tensor
    edges: Tensor
    received: Tensor
    sent: Tensor
    kept: list[Activations | None]


class LayerPass:
    """An InteractionLayer for inference; the node parts of the first edge matrix are applied once per node."""

    def __init__(self, layer: InteractionLayer, precision: Precision, kernels: Kernels) -> None:
        matrix = layer._edge_mlp.mlp.first.weight.detach()  # (H, 3 D): edge, sender, receiver
        width = matrix.shape[1] // 3
        self.precision, self.kernels = precision, kernels
        self.edge_mlp = PerceptronPass(layer._edge_mlp, precision, kernels, slice(0, width))
        self.node_mlp = PerceptronPass(layer._node_mlp, precision, kernels)
        self._for_senders, self._for_receivers = (
            precision.round_operand(part.contiguous()).t() for part in matrix.split(width, dim=1)[1:]
        )  # (D, H) each
        gates = (layer._receive_attn, layer._send_attn)
        self._gates = torch.cat([gate.weight.detach() for gate in gates]).t()  # (D, 2): receive, send
        self._gate_bias = torch.cat([gate.bias.detach() for gate in gates])  # (2,)
        self._condition = layer._cond_node_proj if hasattr(layer, "_cond_node_proj") else None

    def condition(self, nodes: Tensor, condition: Tensor | None) -> Tensor:
        """Add the contribution of charge and multiplicity to nodes (N, D)."""
        return nodes if condition is None or self._condition is None else nodes + self._condition(condition)

    def split_nodes(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sender and receiver parts of the first hidden values of the edges, bias included: (N, H) each."""
        operand = self.precision.round_operand(nodes)
        return torch.addmm(self.edge_mlp.first_bias, operand, self._for_senders), operand @ self._for_receivers

    def activate_edges(
        self, edges: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, memory: FreshMemory
    ) -> tuple[Tensor, Tensor]:
        """Return the first hidden values of a block before SiLU (allocated in `memory`) and after it, (C, H) each."""
        first = self.edge_mlp.start(edges, memory)
        active = space.take("active", len(first), first.shape[1], first.dtype)
        self.kernels.gather_add_silu(first, parts, block, space, active)
        return first, active

    def open_gates(self, edges: Tensor) -> Tensor:
        """Return the receive and send gates (C, 2) of edges (C, D), without the envelope."""
        return torch.sigmoid(torch.addmm(self._gate_bias, edges, self._gates))

    def update_nodes(self, nodes: Tensor, received: Tensor, sent: Tensor) -> Tensor:
        """Return the nodes (N, D) after the layer."""
        space = Workspace(nodes.device)
        first = self._start_nodes(nodes, received, sent, space)
        return nodes + self.node_mlp.normalize(self.node_mlp.finish(F.silu(first, inplace=True), space))

    def backward_nodes(self, gradient: Tensor, trace: LayerTrace) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by nodes, received and sent, (N, D) each, of the node update.

        gradient: (N, D), by the result of the update
        """
        space = Workspace(gradient.device)
        first = self._start_nodes(trace.nodes, trace.received, trace.sent, space)
        active = F.silu(first)  # (N, H)
        kept = self.node_mlp.finish_and_keep(first, active, space, space)
        inputs = self.node_mlp.backward_start(self.node_mlp.backward(gradient, first, kept, space))  # (N, 3 D)
        grad_nodes, grad_received, grad_sent = inputs.split(gradient.shape[1], dim=1)
        return gradient + grad_nodes, grad_received, grad_sent

    def _start_nodes(self, nodes: Tensor, received: Tensor, sent: Tensor, space: Workspace) -> Tensor:
        first = self.node_mlp.start(torch.cat([nodes, received, sent], dim=1), space)  # (N, H)
        return first.add_(self.node_mlp.first_bias)

    def backward_split(self, gradients: tuple[Tensor, Tensor]) -> Tensor:
        """Return the gradient by the nodes (N, D). gradients: by the results of split_nodes, (N, H) each."""
        grad_senders, grad_receivers = (self.precision.round_operand(gradient) for gradient in gradients)
        result = grad_senders @ self._for_senders.t() + grad_receivers @ self._for_receivers.t()
        return result.to(self.precision.dtype)

    def backward_gates(self, gradients: Tensor, open_: Tensor) -> Tensor:
        """Return the gradient by the edges (C, D). gradients: by the gates (C, 2); open_: the gates (C, 2)."""
        return (gradients * open_ * (1.0 - open_)) @ self._gates.t()


def run_layer(
    layer: LayerPass, nodes: Tensor, edges: Tensor, envelope: Tensor, blocks: Sequence[EdgeBlock], last: bool
) -> Tensor:
    """Return the nodes (N, D) after the layer; update edges (E, D) in place, unless it is the last layer.

    nodes: (N, D), condition included; envelope: (E,)
    """
    parts = layer.split_nodes(nodes)
    received, sent = torch.zeros_like(nodes), torch.zeros_like(nodes)
    space = Workspace(nodes.device)
    for block in blocks:
        mine = edges[block.rows]  # (C, D)
        gates = layer.open_gates(mine) * envelope[block.rows, None]  # (C, 2)
        active = layer.edge_mlp.start(mine, space)  # (C, H)
        layer.kernels.gather_add_silu(active, parts, block, space, active)
        message = layer.edge_mlp.normalize(layer.edge_mlp.finish(active, space))  # (C, D)
        _sum_messages(layer.kernels, message, gates, block, (received, sent))
        if not last:
            mine += message
    return layer.update_nodes(nodes, received, sent)


def run_and_trace_layer(
    layer: LayerPass, nodes: Tensor, edges: Tensor, envelope: Tensor, blocks: Sequence[EdgeBlock], keep: Keep
) -> tuple[Tensor, Tensor, LayerTrace]:
    """Return new nodes (N, D), new edges (E, D) and what the backward pass needs; nothing is changed in place."""
    parts = layer.split_nodes(nodes)
    received, sent, after = torch.zeros_like(nodes), torch.zeros_like(nodes), torch.empty_like(edges)
    space, memory = Workspace(nodes.device), FreshMemory(nodes.device)
    kept: list[Activations | None] = []
    for block in blocks:
        mine = edges[block.rows]  # (C, D)
        gates = layer.open_gates(mine) * envelope[block.rows, None]  # (C, 2)
        first = layer.edge_mlp.start(mine, memory if keep is Keep.ALL else space)  # (C, H)
        active = layer.edge_mlp.place_active(first, keep, space)
        layer.kernels.gather_add_silu(first, parts, block, space, active)
        output, activations = layer.edge_mlp.finish_and_trace(first, active, keep, space, memory)  # (C, D)
        kept.append(activations)
        message = layer.edge_mlp.normalize(output)  # (C, D)
        _sum_messages(layer.kernels, message, gates, block, (received, sent))
        torch.add(mine, message, out=after[block.rows])
    trace = LayerTrace(nodes, edges, received, sent, kept)
    return layer.update_nodes(nodes, received, sent), after, trace


def _sum_messages(
    kernels: Kernels, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]
) -> None:
    """Add messages (C, D) times their gates (C, 2) to the received and sent totals of the atoms, (N, D) each."""
    kernels.add_sums(totals[0], message, block.by_receiver, gates[:, 0])
    kernels.add_sums(totals[1], message, block.by_sender, gates[:, 1])


@dataclass(frozen=True)
class LayerGradients:
    """Gradients by the inputs or outputs of a layer; those by edges and envelope are changed in place.

    nodes: (N, D), edges: (E, D), envelope: (E,)
    """

    nodes: Tensor
    edges: Tensor
    envelope: Tensor


def backward_layer(
    layer: LayerPass,
    trace: LayerTrace,
    envelope: Tensor,
    blocks: Sequence[EdgeBlock],
    gradients: LayerGradients,
    first: bool,
) -> Tensor:
    """Return the gradient by the nodes before the layer (N, D), and change gradients.edges to that before the layer.

    gradients: by the outputs of the layer
    first: the first layer, whose input nodes do not depend on positions; zeros are returned
    """
    grad_nodes, grad_received, grad_sent = layer.backward_nodes(gradients.nodes, trace)
    parts = layer.split_nodes(trace.nodes)
    grad_parts = tuple(torch.zeros(part.shape, dtype=grad_nodes.dtype, device=part.device) for part in parts)
    space = Workspace(grad_nodes.device)
    for block, kept in zip(blocks, trace.kept, strict=True):
        mine = trace.edges[block.rows]  # (C, D)
        if kept is None:
            hidden, active = layer.activate_edges(mine, parts, block, space, space)
            kept = layer.edge_mlp.finish_and_keep(hidden, active, space, space)
        elif kept.first is None:
            hidden = layer.edge_mlp.start(mine, space)
            layer.kernels.gather_add_silu(hidden, parts, block, space, None)
        else:
            hidden = kept.first  # (C, H)
        message = layer.edge_mlp.normalize(kept.output)  # (C, D)
        open_, cut = layer.open_gates(mine), envelope[block.rows, None]  # (C, 2), (C, 1)
        grad_edges = gradients.edges[block.rows]  # (C, D), a view: the residual connection adds to it
        grad_message, grad_gates = layer.kernels.backward_sums(
            (grad_received, grad_sent), message, open_ * cut, block, grad_edges
        )  # (C, D), (C, 2)
        grad_hidden = layer.edge_mlp.backward(grad_message, hidden, kept, space)  # (C, H)
        grad_edges += layer.edge_mlp.backward_start(grad_hidden)
        grad_edges += layer.backward_gates(grad_gates * cut, open_)
        gradients.envelope[block.rows] += (grad_gates * open_).sum(dim=1)
        if not first:
            grad_hidden = grad_hidden.to(grad_nodes.dtype)
            layer.kernels.add_sums(grad_parts[0], grad_hidden, block.by_sender)
            layer.kernels.add_sums(grad_parts[1], grad_hidden, block.by_receiver)
    return torch.zeros_like(grad_nodes) if first else grad_nodes + layer.backward_split((grad_parts[0], grad_parts[1]))
