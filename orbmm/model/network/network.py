"""The Orb-v3 graph network: encoder and attention interaction layers.

Source: Rhodes et al., Orb-v3: atomistic simulation at scale, arXiv 2504.06231, and the official state dict, whose keys
are the attribute names here (gnn_stacks.0._edge_mlp.mlp.NN-0.weight and so on).
A run does not execute this file: orbmm.model.inference computes the same function and its gradient by hand, with less
work and memory. tests/model/inference/test_engine.py holds the two against each other.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Architecture
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.basis import BesselBasis, count_harmonics, evaluate_envelope, evaluate_harmonics
from orbmm.model.network.perceptron import NormalizedPerceptron

EDGE_ENVELOPE_POWER = 4
ELEMENT_SLOTS = 119  # rows of the embedding table: atomic numbers 0 ... 118, the first unused


class AtomEmbedding(nn.Module):
    """A learned vector for each element."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(ELEMENT_SLOTS, latent_dim, dtype=torch.float32)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Return the vectors (N, D) of atomic_numbers (N,) int64."""
        return self.embeddings(atomic_numbers)


class Encoder(nn.Module):
    """Two perceptrons that turn element vectors and edge functions into node and edge features of width D."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        latent, hidden, depth = architecture.latent_dim, architecture.mlp_hidden_dim, architecture.mlp_depth
        edge_inputs = architecture.radial_functions * count_harmonics(architecture.max_degree)
        self._node_fn = NormalizedPerceptron(latent, hidden, depth, latent)
        self._edge_fn = NormalizedPerceptron(edge_inputs, hidden, depth, latent)


class InteractionLayer(nn.Module):
    """Update edges from their atoms, then atoms from their edges; both updates are residual."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        latent, hidden, depth = architecture.latent_dim, architecture.mlp_hidden_dim, architecture.mlp_depth
        self._node_mlp = NormalizedPerceptron(3 * latent, hidden, depth, latent)
        self._edge_mlp = NormalizedPerceptron(3 * latent, hidden, depth, latent)
        self._receive_attn = nn.Linear(latent, 1, dtype=torch.float32)
        self._send_attn = nn.Linear(latent, 1, dtype=torch.float32)
        if architecture.charge_and_spin:
            self._cond_node_proj = nn.Linear(latent, latent, dtype=torch.float32)

    def forward(
        self, nodes: Tensor, edges: Tensor, graph: AtomGraph, envelope: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the updated nodes (N, D) and edges (E, D).

        nodes: (N, D); edges: (E, D); envelope: (E, 1); condition: (N, D) or None
        """
        if condition is not None:
            nodes = nodes + self._cond_node_proj(condition)
        receive_gate = torch.sigmoid(self._receive_attn(edges)) * envelope  # (E, 1)
        send_gate = torch.sigmoid(self._send_attn(edges)) * envelope  # (E, 1)
        message = self._edge_mlp.forward_edges(edges, nodes, graph.senders, graph.receivers)  # (E, D)
        sent = graph.sum_senders(message * send_gate)  # (N, D)
        received = graph.sum_receivers(message * receive_gate)  # (N, D)
        update = self._node_mlp(torch.cat([nodes, received, sent], dim=-1))  # (N, D)
        return nodes + update, edges + message


class OrbNetwork(nn.Module):
    """Compute one feature vector per atom from an atom graph."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.rbf_transform = BesselBasis(architecture.cutoff_angstrom, architecture.radial_functions)
        self.atom_emb = AtomEmbedding(architecture.latent_dim)
        if architecture.charge_and_spin:
            self.conditioner = ChargeSpinConditioner(architecture.latent_dim)
        self._encoder = Encoder(architecture)
        self.gnn_stacks = nn.ModuleList(InteractionLayer(architecture) for _ in range(architecture.layers))

    def forward(self, graph: AtomGraph, vectors: Tensor) -> Tensor:
        """Return the node features (N, D). vectors: (E, 3) [Å], from sender to receiver."""
        lengths = torch.linalg.vector_norm(vectors, dim=-1)  # (E,)
        envelope = evaluate_envelope(lengths / self.architecture.cutoff_angstrom, EDGE_ENVELOPE_POWER)[
            :, None
        ]  # (E, 1)
        edges = self._encoder._edge_fn(self._describe_edges(vectors, lengths, envelope))  # (E, D)
        nodes = self._encoder._node_fn(self.atom_emb(graph.atomic_numbers))  # (N, D)
        condition = self._condition(graph)
        for layer in self.gnn_stacks:
            nodes, edges = layer(nodes, edges, graph, envelope, condition)
        return nodes

    def _describe_edges(self, vectors: Tensor, lengths: Tensor, envelope: Tensor) -> Tensor:
        radial = self.rbf_transform(lengths) * envelope  # (E, R)
        angular = evaluate_harmonics(F.normalize(vectors, dim=-1), self.architecture.max_degree)  # (E, A)
        return (radial[:, :, None] * angular[:, None, :]).flatten(1)  # (E, R * A)

    def _condition(self, graph: AtomGraph) -> Tensor | None:
        if not self.architecture.charge_and_spin:
            return None
        return self.conditioner(graph.charges, graph.multiplicities)[graph.system]  # (N, D)


class WaveEmbedding(nn.Module):
    """Embed a number as sines and cosines of learned frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(width // 2, dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """Return the embedding (B, width) of values (B,)."""
        phase = 2.0 * math.pi * values[:, None] * self.W
        return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)  # (B, width)


class ChargeSpinConditioner(nn.Module):
    """Embed charge and multiplicity, each in half of a vector; multiplicity 0 means unknown and gives zeros."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.charge_embedding = WaveEmbedding(latent_dim // 2)
        self.spin_embedding = WaveEmbedding(latent_dim // 2)

    def forward(self, charges: Tensor, multiplicities: Tensor) -> Tensor:
        """Return (B, latent_dim) for charges [e] and multiplicities, (B,) each."""
        spin = self.spin_embedding(multiplicities) * (multiplicities != 0)[:, None]
        return torch.cat([self.charge_embedding(charges), spin], dim=-1)  # (B, D)
