"""Heads that turn node features into energy, forces, stress and confidence, in physical units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Architecture
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.perceptron import Perceptron

REFERENCE_ELEMENTS = 118


class HeadPerceptron(Perceptron):
    """A perceptron that computes in float64, whatever the type of its weights and of the body of the network.

    The energy is multiplied by the number of atoms, and with it every rounding on its way. The 10 bits of TF32 in this
    perceptron alone made the energy of 999 atoms jump by some 50 meV between two frames. Heads cost next to nothing.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., outputs) in float64 for features (..., inputs)."""
        hidden = features.to(torch.float64)
        for number, layer in enumerate(self.linear_layers):
            active = F.silu(hidden) if number else hidden
            hidden = F.linear(active, layer.weight.to(torch.float64), layer.bias.to(torch.float64))
        return hidden


class RunningStatistics(nn.Module):
    """Mean and variance collected during training."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(1, dtype=torch.float32))
        self.register_buffer("running_var", torch.ones(1, dtype=torch.float32))


class Normalizer(nn.Module):
    """Convert the normalised output of a head to physical units."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = RunningStatistics()

    def denormalize(self, values: Tensor) -> Tensor:
        """Return values of any shape, given in standard deviations, in physical units."""
        return values * torch.sqrt(self.bn.running_var) + self.bn.running_mean


class ReferenceEnergy(nn.Module):
    """One energy per element [eV], added to the output of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Module()
        self.linear.register_buffer("weight", torch.zeros(REFERENCE_ELEMENTS, dtype=torch.float32))

    def forward(self, graph: AtomGraph) -> Tensor:
        """Sum over the atoms of each system, (B,) [eV], in float64: at 1e7 eV the steps of float32 are 1 eV."""
        weight = self.linear.get_buffer("weight").to(torch.float64)
        return graph.sum_atoms(weight[graph.atomic_numbers])


class EnergyHead(nn.Module):
    """Predict the energy from the mean of the node features; there are no energies per atom."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=1)
        self.reference = ReferenceEnergy()

    def forward(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        """Return the energy (B,) [eV] in float64, without the reference energies. nodes: (N, D).

        Mean and head are in float64, because the value is multiplied by the number of atoms: in float32, rounding
        would exceed the energy drift of a simulation.
        """
        normalized = self.mlp(graph.mean_atoms(nodes.to(torch.float64))).squeeze(-1)  # (B,)
        per_atom = self.normalizer.denormalize(normalized)  # (B,)
        return per_atom * graph.counts


class ForceHead(nn.Module):
    """Predict forces directly from the node features, not as a gradient."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=3)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the forces (N, 3) [eV/Å]. nodes: (N, D)."""
        return self.normalizer.denormalize(self.mlp(nodes)).to(nodes.dtype)


class StressHead(nn.Module):
    """Predict the stress from the mean node features; diagonal and off-diagonal parts have separate statistics."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.diag_normalizer = Normalizer()
        self.offdiag_normalizer = Normalizer()
        self.mlp = _make_mlp(architecture, outputs=6)

    def forward(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        """Return the stress (B, 6) [eV/Å^3], Voigt order xx yy zz yz xz xy. nodes: (N, D)."""
        stress = self.mlp(graph.mean_atoms(nodes.to(torch.float64)))  # (B, 6)
        diagonal = self.diag_normalizer.denormalize(stress[:, :3])
        return torch.cat([diagonal, self.offdiag_normalizer.denormalize(stress[:, 3:])], dim=-1).to(nodes.dtype)


class ConfidenceHead(nn.Module):
    """Predict the expected force error of each atom as probabilities of bins; bin_edges [eV/Å] holds the bin limits."""

    bin_edges: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mlp = _make_mlp(architecture, outputs=architecture.confidence_bins)
        self.register_buffer("bin_edges", torch.zeros(architecture.confidence_bins + 1, dtype=torch.float32))

    def forward(self, nodes: Tensor) -> Tensor:
        """Return probabilities (N, bins); each row sums to 1. nodes: (N, D)."""
        return torch.softmax(self.logits(nodes), dim=-1).to(nodes.dtype)

    def logits(self, nodes: Tensor) -> Tensor:
        """Return the logarithms of the probabilities, each row up to a constant, (N, bins) float64. nodes: (N, D)."""
        return self.mlp(nodes)


def _make_mlp(architecture: Architecture, outputs: int) -> HeadPerceptron:
    return HeadPerceptron(architecture.latent_dim, architecture.head_hidden_dim, architecture.head_depth, outputs)
