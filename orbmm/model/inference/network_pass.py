"""The whole network for inference: node features from an atom graph, and the gradient by the edge vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.edge_encoder import build_edge_encoder
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.layer_pass import (
    LayerGradients,
    LayerPass,
    LayerTrace,
    backward_layer,
    run_and_trace_layer,
    run_layer,
)
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.basis import evaluate_envelope
from orbmm.model.network.network import EDGE_ENVELOPE_POWER, InteractionLayer, OrbNetwork
from orbmm.model.precision import Precision


@dataclass(frozen=True)
class NetworkTrace:
    """Activations saved for the backward pass.

    blocks: all edges; envelope: (E,); encoder: activations of each block, None where recomputed; layers: one per layer
    """

    blocks: list[EdgeBlock]
    envelope: Tensor
    encoder: list[Activations | None]
    layers: list[LayerTrace]


class NetworkPass:
    """An OrbNetwork computed block by block: no array of all edges is wider than the edge features."""

    def __init__(self, network: OrbNetwork, precision: Precision, kernels: Kernels) -> None:
        self.network, self.precision = network, precision
        self._encoder = build_edge_encoder(network._encoder._edge_fn, precision, kernels)
        self._layers = [LayerPass(cast(InteractionLayer, layer), precision, kernels) for layer in network.gnn_stacks]
        with torch.no_grad():
            # Before the first layer a node depends only on its element.
            self._elements = network._encoder._node_fn(network.atom_emb.embeddings.weight)  # (119, D)

    def run(self, graph: AtomGraph, blocks: list[EdgeBlock]) -> Tensor:
        """Return node features (N, D). blocks: all edges of the graph, in their order."""
        nodes, condition = self._begin(graph)
        edges, envelope, _ = self._run_encoder(graph.vectors, blocks, Keep.NOTHING)
        for number, layer in enumerate(self._layers, start=1):
            with record_function(f"orbmm: layer {number}"):
                nodes = layer.condition(nodes, condition)
                nodes = run_layer(layer, nodes, edges, envelope, blocks, last=number == len(self._layers))
        return nodes

    def run_and_trace(
        self, graph: AtomGraph, blocks: list[EdgeBlock], keep: Sequence[Keep]
    ) -> tuple[Tensor, NetworkTrace]:
        """Return node features (N, D), and what the backward pass needs.

        blocks: all edges of the graph, in their order; keep: what is kept of the encoder and of each layer
        """
        nodes, condition = self._begin(graph)
        edges, envelope, encoder = self._run_encoder(graph.vectors, blocks, keep[0])
        traces = []
        for number, layer in enumerate(self._layers, start=1):
            with record_function(f"orbmm: layer {number}"):
                nodes = layer.condition(nodes, condition)
                nodes, edges, trace = run_and_trace_layer(layer, nodes, edges, envelope, blocks, keep[number])
                traces.append(trace)
        return nodes, NetworkTrace(blocks, envelope, encoder, traces)

    def backward(self, gradient: Tensor, vectors: Tensor, trace: NetworkTrace) -> Tensor:
        """Return the gradient by the edge vectors (E, 3). The trace is consumed.

        gradient: (N, D), by the node features; vectors: (E, 3) [Å]
        """
        grad_edges = gradient.new_zeros(trace.layers[0].edges.shape)  # (E, D)
        gradients = LayerGradients(gradient, grad_edges, torch.zeros_like(trace.envelope))
        for number in reversed(range(len(self._layers))):
            with record_function(f"orbmm: layer {number + 1} backwards"):
                grad_nodes = backward_layer(
                    self._layers[number], trace.layers.pop(), trace.envelope, trace.blocks, gradients, first=number == 0
                )
                gradients = LayerGradients(grad_nodes, gradients.edges, gradients.envelope)
        return self._backward_encoder(vectors, trace, gradients)

    def _begin(self, graph: AtomGraph) -> tuple[Tensor, Tensor | None]:
        return self._elements.index_select(0, graph.atomic_numbers), self.network._condition(graph)

    def _run_encoder(
        self, vectors: Tensor, blocks: list[EdgeBlock], keep: Keep
    ) -> tuple[Tensor, Tensor, list[Activations | None]]:
        """Return edge features (E, D), envelope (E,), and what is kept of each block."""
        width, stored = self.network.architecture.latent_dim, self._layers[0].edge_update.stored
        edges = vectors.new_empty(len(vectors), width, dtype=stored)
        envelope = vectors.new_empty(len(vectors))
        space, kept = Workspace(vectors.device), []
        with record_function("orbmm: edge features"):
            for block in blocks:
                shape, envelope[block.rows] = self._describe(vectors[block.rows])  # (C, R * A)
                kept.append(self._encoder.run(shape, edges[block.rows], keep, space))
        return edges, envelope, kept

    def _backward_encoder(self, vectors: Tensor, trace: NetworkTrace, gradients: LayerGradients) -> Tensor:
        """Return the gradient by the edge vectors (E, 3)."""
        result = torch.empty_like(vectors)
        space = Workspace(vectors.device)
        with record_function("orbmm: edge features backwards"):
            for block, kept in zip(trace.blocks, trace.encoder, strict=True):
                with torch.enable_grad():
                    leaf = vectors[block.rows].detach().requires_grad_(True)  # (C, 3)
                    shape, envelope = self._describe(leaf)
                grad_shape = self._encoder.backward(gradients.edges[block.rows], shape.detach(), kept, space)
                outer = (grad_shape, gradients.envelope[block.rows])
                (result[block.rows],) = torch.autograd.grad((shape, envelope), leaf, outer)
        return result

    def _describe(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return radial times angular functions (C, R * A) and envelope (C,) of edge vectors (C, 3) [Å]."""
        lengths = torch.linalg.vector_norm(vectors, dim=-1)  # (C,)
        ratio = lengths / self.network.architecture.cutoff_angstrom
        envelope = evaluate_envelope(ratio, EDGE_ENVELOPE_POWER)[:, None]  # (C, 1)
        return self.network._describe_edges(vectors, lengths, envelope), envelope[:, 0]
