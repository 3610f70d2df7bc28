"""The whole network for inference: node features from an atom graph, and the way back to the edge vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.layer_pass import (
    LayerPass,
    LayerSlopes,
    LayerTrace,
    pull_back_layer,
    run_and_trace_layer,
    run_layer,
)
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.network import EDGE_ENVELOPE_POWER, InteractionLayer, OrbNetwork
from orbmm.model.network.radial import evaluate_envelope
from orbmm.model.precision import Precision


@dataclass(frozen=True)
class NetworkTrace:
    """What the way back needs: edges in blocks, their envelope (E,), what was kept of the encoder, and each layer's trace."""

    blocks: list[EdgeBlock]
    envelope: Tensor
    encoder: list[Activations | None]
    layers: list[LayerTrace]


class NetworkPass:
    """An OrbNetwork carried out edge block by edge block: no array of all edges is wider than the edge features."""

    def __init__(self, network: OrbNetwork, precision: Precision, kernels: Kernels) -> None:
        self.network, self.precision = network, precision
        self._encode_edges = PerceptronPass(network._encoder._edge_fn, precision, kernels)
        self._layers = [LayerPass(cast(InteractionLayer, layer), precision, kernels) for layer in network.gnn_stacks]
        with torch.no_grad():
            # Before the first layer a node knows its element alone.
            self._elements = network._encoder._node_fn(network.atom_emb.embeddings.weight)  # (119, D)

    def run(self, graph: AtomGraph, blocks: list[EdgeBlock]) -> Tensor:
        """Node features (N, D). blocks: all edges of the graph, in their order."""
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
        """Node features (N, D), and what the way back needs; keep: what stays of the encoder and of each layer."""
        nodes, condition = self._begin(graph)
        edges, envelope, encoder = self._run_encoder(graph.vectors, blocks, keep[0])
        traces = []
        for number, layer in enumerate(self._layers, start=1):
            with record_function(f"orbmm: layer {number}"):
                nodes = layer.condition(nodes, condition)
                nodes, edges, trace = run_and_trace_layer(layer, nodes, edges, envelope, blocks, keep[number])
                traces.append(trace)
        return nodes, NetworkTrace(blocks, envelope, encoder, traces)

    def pull_back(self, slope: Tensor, vectors: Tensor, trace: NetworkTrace) -> Tensor:
        """The derivative by the edge vectors (E, 3), from that by the node features (N, D). The trace is used up."""
        by_edges = torch.zeros_like(trace.layers[0].edges)  # (E, D)
        slopes = LayerSlopes(slope, by_edges, torch.zeros_like(trace.envelope))
        for number in reversed(range(len(self._layers))):
            with record_function(f"orbmm: layer {number + 1} backwards"):
                by_nodes = pull_back_layer(
                    self._layers[number], trace.layers.pop(), trace.envelope, trace.blocks, slopes, first=number == 0
                )
                slopes = LayerSlopes(by_nodes, slopes.edges, slopes.envelope)
        return self._pull_back_encoder(vectors, trace, slopes)

    def _begin(self, graph: AtomGraph) -> tuple[Tensor, Tensor | None]:
        return self._elements.index_select(0, graph.atomic_numbers), self.network._condition(graph)

    def _run_encoder(
        self, vectors: Tensor, blocks: list[EdgeBlock], keep: Keep
    ) -> tuple[Tensor, Tensor, list[Activations | None]]:
        """Edge features (E, D), envelope (E,), and what is kept of each block."""
        edges = vectors.new_empty(len(vectors), self.network.architecture.latent_dim)
        envelope = vectors.new_empty(len(vectors))
        space, memory = Workspace(vectors.device), FreshMemory(vectors.device)
        encode = self._encode_edges
        kept = []
        with record_function("orbmm: edge features"):
            for block in blocks:
                shape, envelope[block.rows] = self._describe(vectors[block.rows])  # (C, R * A)
                first = encode.start(shape, memory if keep is Keep.ALL else space).add_(encode.first_bias)  # (C, H)
                active = torch.ops.aten.silu.out(first, out=encode.place_active(first, keep, space))
                output, activations = encode.finish_and_trace(first, active, keep, space, memory)  # (C, D)
                edges[block.rows] = encode.normalize(output)
                kept.append(activations)
        return edges, envelope, kept

    def _pull_back_encoder(self, vectors: Tensor, trace: NetworkTrace, slopes: LayerSlopes) -> Tensor:
        """The derivative by the edge vectors (E, 3)."""
        result = torch.empty_like(vectors)
        space = Workspace(vectors.device)
        encode = self._encode_edges
        with record_function("orbmm: edge features backwards"):
            for block, kept in zip(trace.blocks, trace.encoder, strict=True):
                with torch.enable_grad():
                    leaf = vectors[block.rows].detach().requires_grad_(True)  # (C, 3)
                    shape, envelope = self._describe(leaf)
                first = kept.first if kept is not None else None
                if first is None:
                    first = encode.start(shape.detach(), space).add_(encode.first_bias)  # (C, H)
                if kept is None:
                    active = torch.ops.aten.silu.out(first, out=encode.place_active(first, Keep.ALL, space))
                    kept = encode.finish_and_keep(first, active, space, space)
                by_first = encode.pull_back(slopes.edges[block.rows], first, kept, space)  # (C, H)
                outer = (encode.pull_back_start(by_first), slopes.envelope[block.rows])
                (result[block.rows],) = torch.autograd.grad((shape, envelope), leaf, outer)
        return result

    def _describe(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Radial times angular functions (C, R * A) and envelope (C,) of edge vectors (C, 3)."""
        lengths = torch.linalg.vector_norm(vectors, dim=-1)  # (C,)
        ratio = lengths / self.network.architecture.cutoff_angstrom
        envelope = evaluate_envelope(ratio, EDGE_ENVELOPE_POWER)[:, None]  # (C, 1)
        return self.network._describe_edges(vectors, lengths, envelope), envelope[:, 0]
