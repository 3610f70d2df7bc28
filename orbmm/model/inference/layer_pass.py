"""One interaction layer on edges in blocks, forwards and backwards."""

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
    """What the way back through a layer needs.

    nodes: (N, D), edges: (E, D), as they entered the edge perceptron
    received, sent: (N, D), the sums of the messages
    kept: activations of each block's edge perceptron, None where they are made again
    """

    nodes: Tensor
    edges: Tensor
    received: Tensor
    sent: Tensor
    kept: list[Activations | None]


class LayerPass:
    """An InteractionLayer for inference: the node parts of the first edge matrix act once per node."""

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
        """Nodes (N, D) with what charge and multiplicity add to them."""
        return nodes if condition is None or self._condition is None else nodes + self._condition(condition)

    def split_nodes(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """What senders and receivers add to the first hidden values of their edges, bias included: (N, H) each."""
        operand = self.precision.round_operand(nodes)
        return torch.addmm(self.edge_mlp.first_bias, operand, self._for_senders), operand @ self._for_receivers

    def activate_edges(
        self, edges: Tensor, parts: tuple[Tensor, Tensor], block: EdgeBlock, space: Workspace, memory: FreshMemory
    ) -> tuple[Tensor, Tensor]:
        """The first hidden values of a block before and after their SiLU, (C, H) each; the former in that memory."""
        first = self.edge_mlp.start(edges, memory)
        active = space.take("active", len(first), first.shape[1], first.dtype)
        self.kernels.gather_add_silu(first, parts, block, space, active)
        return first, active

    def open_gates(self, edges: Tensor) -> Tensor:
        """How far the receive and the send gate of each edge are open, without the envelope: (C, D) to (C, 2)."""
        return torch.sigmoid(torch.addmm(self._gate_bias, edges, self._gates))

    def update_nodes(self, nodes: Tensor, received: Tensor, sent: Tensor) -> Tensor:
        """Nodes (N, D) after the layer."""
        space = Workspace(nodes.device)
        first = self._start_nodes(nodes, received, sent, space)
        return nodes + self.node_mlp.normalize(self.node_mlp.finish(F.silu(first, inplace=True), space))

    def pull_back_nodes(self, slope: Tensor, trace: LayerTrace) -> tuple[Tensor, Tensor, Tensor]:
        """Derivatives by nodes, received and sent (N, D) of the node update alone, from that by its result (N, D)."""
        space = Workspace(slope.device)
        first = self._start_nodes(trace.nodes, trace.received, trace.sent, space)
        active = F.silu(first)  # (N, H)
        kept = self.node_mlp.finish_and_keep(first, active, space, space)
        inputs = self.node_mlp.pull_back_start(self.node_mlp.pull_back(slope, first, kept, space))  # (N, 3 D)
        by_nodes, by_received, by_sent = inputs.split(slope.shape[1], dim=1)
        return slope + by_nodes, by_received, by_sent

    def _start_nodes(self, nodes: Tensor, received: Tensor, sent: Tensor, space: Workspace) -> Tensor:
        first = self.node_mlp.start(torch.cat([nodes, received, sent], dim=1), space)  # (N, H)
        return first.add_(self.node_mlp.first_bias)

    def pull_back_split(self, slopes: tuple[Tensor, Tensor]) -> Tensor:
        """The derivative by the nodes (N, D), from those by what senders and receivers added, (N, H) each."""
        by_senders, by_receivers = (self.precision.round_operand(slope) for slope in slopes)
        result = by_senders @ self._for_senders.t() + by_receivers @ self._for_receivers.t()
        return result.to(self.precision.dtype)

    def pull_back_gates(self, slopes: Tensor, open_: Tensor) -> Tensor:
        """The derivative by the edges (C, D), from that by the gates (C, 2) and how far these are open (C, 2)."""
        return (slopes * open_ * (1.0 - open_)) @ self._gates.t()


def run_layer(
    layer: LayerPass, nodes: Tensor, edges: Tensor, envelope: Tensor, blocks: Sequence[EdgeBlock], last: bool
) -> Tensor:
    """Nodes (N, D) after the layer; edges (E, D) become those after it, in place, unless it is the last.

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
    """The same without changing anything in place: new nodes, new edges, and what the way back needs."""
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
    """Add messages (C, D) times their gates (C, 2) to what atoms have received and sent, (N, D) each."""
    kernels.add_sums(totals[0], message, block.by_receiver, gates[:, 0])
    kernels.add_sums(totals[1], message, block.by_sender, gates[:, 1])


@dataclass(frozen=True)
class LayerSlopes:
    """Derivatives by what enters or leaves a layer; those by edges and envelope are changed in place.

    nodes: (N, D), edges: (E, D), envelope: (E,)
    """

    nodes: Tensor
    edges: Tensor
    envelope: Tensor


def pull_back_layer(
    layer: LayerPass, trace: LayerTrace, envelope: Tensor, blocks: Sequence[EdgeBlock], slopes: LayerSlopes, first: bool
) -> Tensor:
    """Derivative by the nodes before the layer (N, D), from the slopes behind it; for the first layer, whose nodes
    depend on no position, it is not formed, and zeros come back. slopes.edges becomes that before the layer.
    """
    by_nodes, by_received, by_sent = layer.pull_back_nodes(slopes.nodes, trace)
    parts = layer.split_nodes(trace.nodes)
    by_parts = tuple(torch.zeros(part.shape, dtype=by_nodes.dtype, device=part.device) for part in parts)
    space = Workspace(by_nodes.device)
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
        by_edges = slopes.edges[block.rows]  # (C, D), a view: the residual passes it on
        by_message, by_gates = layer.kernels.pull_back_sums(
            (by_received, by_sent), message, open_ * cut, block, by_edges
        )  # (C, D), (C, 2)
        by_hidden = layer.edge_mlp.pull_back(by_message, hidden, kept, space)  # (C, H)
        by_edges += layer.edge_mlp.pull_back_start(by_hidden)
        by_edges += layer.pull_back_gates(by_gates * cut, open_)
        slopes.envelope[block.rows] += (by_gates * open_).sum(dim=1)
        if not first:
            by_hidden = by_hidden.to(by_nodes.dtype)
            layer.kernels.add_sums(by_parts[0], by_hidden, block.by_sender)
            layer.kernels.add_sums(by_parts[1], by_hidden, block.by_receiver)
    return torch.zeros_like(by_nodes) if first else by_nodes + layer.pull_back_split((by_parts[0], by_parts[1]))
