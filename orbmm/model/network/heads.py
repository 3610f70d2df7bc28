"""Heads: from node features to energy, forces, stress and confidence, in physical units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Architecture
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.perceptron import Perceptron

REFERENCE_ELEMENTS = 118


class RunningStatistics(nn.Module):
    """Mean and variance gathered in training."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_var", torch.ones(1))


class Normalizer(nn.Module):
    """Turns a head's normalised output into physical units."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = RunningStatistics()

    def denormalize(self, values: Tensor) -> Tensor:
        """values: any shape, in units of the standard deviation; returns them in physical units."""
        return values * torch.sqrt(self.bn.running_var) + self.bn.running_mean


class ReferenceEnergy(nn.Module):
    """One energy per element [eV], added to what the network says."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Module()
        self.linear.register_buffer("weight", torch.zeros(REFERENCE_ELEMENTS))

    def forward(self, graph: AtomGraph) -> Tensor:
        """Sum over atoms of each system, (B,) [eV], in float64: totals reach 1e7 eV, where float32 is spaced by 1 eV."""
        weight = self.linear.get_buffer("weight").to(torch.float64)
        return graph.sum_atoms(weight[graph.atomic_numbers])


class EnergyHead(nn.Module):
    """Energy from the mean of the node features: there are no energies per atom."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=1)
        self.reference = ReferenceEnergy()

    def forward(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        """nodes: (N, D); returns (B,) float64 [eV] without the reference energies.

        The last steps are in float64: multiplied by the number of atoms, float32 would lose what dynamics conserves.
        """
        normalized = self.mlp(graph.mean_atoms(nodes)).squeeze(-1).to(torch.float64)  # (B,)
        per_atom = self.normalizer.denormalize(normalized)  # (B,)
        return per_atom * graph.counts


class ForceHead(nn.Module):
    """Forces straight from the node features, not as a gradient."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=3)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes: (N, D); returns (N, 3) [eV/Å]."""
        return self.normalizer.denormalize(self.mlp(nodes))


class StressHead(nn.Module):
    """Stress from the mean of the node features; diagonal and off-diagonal parts have statistics of their own."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.diag_normalizer = Normalizer()
        self.offdiag_normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=6)

    def forward(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        """nodes: (N, D); returns (B, 6) [eV/Å^3], Voigt order xx yy zz yz xz xy."""
        stress = self.mlp(graph.mean_atoms(nodes))  # (B, 6)
        diagonal = self.diag_normalizer.denormalize(stress[:, :3])
        return torch.cat([diagonal, self.offdiag_normalizer.denormalize(stress[:, 3:])], dim=-1)


class ConfidenceHead(nn.Module):
    """Probabilities of bins of the expected error of an atom's force; edges of the bins in bin_edges [eV/Å]."""

    bin_edges: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mlp = _make_mlp(architecture, outputs=architecture.confidence_bins)
        self.register_buffer("bin_edges", torch.zeros(architecture.confidence_bins + 1))

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes: (N, D); returns (N, bins), rows summing to 1."""
        return torch.softmax(self.mlp(nodes), dim=-1)


def _make_mlp(architecture: Architecture, outputs: int) -> Perceptron:
    return Perceptron(architecture.latent_dim, architecture.head_hidden_dim, architecture.head_depth, outputs)
