"""One interaction layer on edges in blocks, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.edge_update import EdgeGradients, EdgeInputs, build_edge_update
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import Workspace
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
        first = layer._edge_mlp.mlp.first
        matrix = first.weight.detach()  # (H, 3 D): edge, sender, receiver
        self.precision = precision
        self.edge_update = build_edge_update(layer, precision, kernels)
        self.node_mlp = PerceptronPass(layer._node_mlp, precision, kernels)
        self._for_senders, self._for_receivers = (
            precision.round_operand(part.contiguous()).t() for part in matrix.split(matrix.shape[1] // 3, dim=1)[1:]
        )  # (D, H) each
        self._bias = first.bias.detach().to(precision.stored_operands(matrix.device))  # (H,)
        self._condition = layer._cond_node_proj if hasattr(layer, "_cond_node_proj") else None

    def condition(self, nodes: Tensor, condition: Tensor | None) -> Tensor:
        """Add the contribution of charge and multiplicity to nodes (N, D)."""
        return nodes if condition is None or self._condition is None else nodes + self._condition(condition)

    def split_nodes(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sender and receiver parts of the first hidden values of the edges, bias included: (N, H) each."""
        operand = self.precision.round_operand(nodes)
        return torch.addmm(self._bias, operand, self._for_senders), operand @ self._for_receivers

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
        # All three are slices of one array, while kernels need whole rows.
        return gradient + grad_nodes, grad_received.contiguous(), grad_sent.contiguous()

    def _start_nodes(self, nodes: Tensor, received: Tensor, sent: Tensor, space: Workspace) -> Tensor:
        first = self.node_mlp.start(torch.cat([nodes, received, sent], dim=1), space)  # (N, H)
        return first.add_(self.node_mlp.first_bias)

    def backward_split(self, gradients: tuple[Tensor, Tensor]) -> Tensor:
        """Return the gradient by the nodes (N, D). gradients: by the results of split_nodes, (N, H) each."""
        grad_senders, grad_receivers = (self.precision.round_operand(gradient) for gradient in gradients)
        result = grad_senders @ self._for_senders.t() + grad_receivers @ self._for_receivers.t()
        return result.to(self.precision.dtype)


def run_layer(
    layer: LayerPass, nodes: Tensor, edges: Tensor, envelope: Tensor, blocks: Sequence[EdgeBlock], last: bool
) -> Tensor:
    """Return the nodes (N, D) after the layer; update edges (E, D) in place, unless it is the last layer.

    nodes: (N, D), condition included; envelope: (E,)
    """
    inputs = EdgeInputs(edges, envelope, layer.split_nodes(nodes))
    totals = (torch.zeros_like(nodes), torch.zeros_like(nodes))
    space = Workspace(nodes.device)
    for block in blocks:
        layer.edge_update.run(inputs, block, totals, None if last else edges, Keep.NOTHING, space)
    return layer.update_nodes(nodes, *totals)


def run_and_trace_layer(
    layer: LayerPass, nodes: Tensor, edges: Tensor, envelope: Tensor, blocks: Sequence[EdgeBlock], keep: Keep
) -> tuple[Tensor, Tensor, LayerTrace]:
    """Return new nodes (N, D), new edges (E, D) and what the backward pass needs; nothing is changed in place."""
    inputs = EdgeInputs(edges, envelope, layer.split_nodes(nodes))
    totals, after = (torch.zeros_like(nodes), torch.zeros_like(nodes)), torch.empty_like(edges)
    space = Workspace(nodes.device)
    kept = [layer.edge_update.run(inputs, block, totals, after, keep, space) for block in blocks]
    return layer.update_nodes(nodes, *totals), after, LayerTrace(nodes, edges, *totals, kept)


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
    inputs = EdgeInputs(trace.edges, envelope, layer.split_nodes(trace.nodes))
    by_senders, by_receivers = (
        torch.zeros(part.shape, dtype=grad_nodes.dtype, device=part.device) for part in inputs.parts
    )
    grad_parts = None if first else (by_senders, by_receivers)
    of_edges = EdgeGradients(grad_received, grad_sent, gradients.edges, gradients.envelope, grad_parts)
    space = Workspace(grad_nodes.device)
    for block, kept in zip(blocks, trace.kept, strict=True):
        layer.edge_update.backward(inputs, block, kept, of_edges, space)
    return torch.zeros_like(grad_nodes) if grad_parts is None else grad_nodes + layer.backward_split(grad_parts)
