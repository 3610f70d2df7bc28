"""The two kinds of Orb-v3: forces predicted directly, and forces as the gradient of the energy."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.errors import ModelError
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.derivative import differentiate
from orbmm.model.network.heads import ConfidenceHead, EnergyHead, ForceHead, StressHead
from orbmm.model.network.net_force import remove_net_torque, subtract_mean_force
from orbmm.model.network.network import OrbNetwork
from orbmm.model.network.repulsion import PairRepulsion

OUTPUTS = frozenset({"energy", "forces", "stress", "confidence"})


@dataclass(frozen=True)
class Prediction:
    """What was asked for, on the device of the graph; the rest is None.

    energy: (B,) float64 [eV], reference energies included
    forces: (N, 3) [eV/Å]
    stress: (B, 6) [eV/Å^3], Voigt order xx yy zz yz xz xy, positive under tension: (1/V) dE/d(strain)
    confidence: (N, bins), probabilities of the bins of the expected force error
    """

    energy: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    confidence: Tensor | None = None


class Orb(nn.Module):
    """Network, energy head, confidence head and pair repulsion: what both kinds share."""

    def __init__(self, architecture: Architecture, oddities: Oddities) -> None:
        super().__init__()
        self.architecture = architecture
        self.oddities = oddities
        self.model = OrbNetwork(architecture)
        self.heads = nn.ModuleDict({"energy": EnergyHead(architecture)})
        if architecture.confidence_bins:
            self.heads["confidence"] = ConfidenceHead(architecture)
        self.repulsion = PairRepulsion(oddities)

    @property
    def available_outputs(self) -> frozenset[str]:
        """The outputs that this network has heads for."""
        outputs = {"energy", "forces"} | set(self.heads)
        return frozenset(outputs)

    def forward(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """Predict the outputs named, a subset of available_outputs; stress needs graph.volumes."""
        raise NotImplementedError

    def compile_network(self) -> None:
        """Translate the costly part to machine code at its first use, which takes a minute or more.

        On a CPU this needs a C++ compiler. Energies differ from the plain ones by rounding.
        """
        raise NotImplementedError

    def _confidence(self, nodes: Tensor, outputs: AbstractSet[str]) -> Tensor | None:
        return self.heads["confidence"](nodes.detach()) if "confidence" in outputs else None

    def _total_energy(self, interaction: Tensor, graph: AtomGraph) -> Tensor:
        return interaction + cast(EnergyHead, self.heads["energy"]).reference(graph)  # (B,)


class DirectOrb(Orb):
    """Forces and stress come from heads of their own; the repulsion's are added as its exact gradient."""

    def __init__(self, architecture: Architecture, oddities: Oddities) -> None:
        super().__init__(architecture, oddities)
        self.heads["forces"] = ForceHead(architecture)
        if architecture.has_stress_head:
            self.heads["stress"] = StressHead(architecture)

    def forward(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward."""
        bonds = self.repulsion.take_close_edges(graph)
        return self.read_out(self.model(graph, graph.vectors), graph, bonds, outputs)

    def read_out(self, nodes: Tensor, graph: AtomGraph, bonds: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """The outputs from the node features (N, D). bonds: the graph with at least the edges that repel."""
        repulsion, slope = self.repulsion.energy_and_pair_slope(bonds)
        energy = forces = stress = None
        if "energy" in outputs:
            energy = self._total_energy(self.heads["energy"](nodes, graph) + repulsion, graph)
        if "forces" in outputs:
            forces = self._own_forces(nodes, graph) + bonds.forces_from_slope(slope)
        if "stress" in outputs:
            stress = self.heads["stress"](nodes, graph) + _stress_from_slope(slope, bonds)
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs))

    def compile_network(self) -> None:
        """See Orb.compile_network."""
        self.model.compile(dynamic=True)

    def _own_forces(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        forces = self.heads["forces"](nodes)  # (N, 3)
        if self.oddities.subtracts_mean_force:
            forces = subtract_mean_force(forces, graph)
        if self.oddities.removes_net_torque and graph.volumes is None:
            forces = remove_net_torque(forces, graph)
        return forces


class ConservativeOrb(Orb):
    """Forces and stress are exact derivatives of the energy.

    Positions and strain enter through the edge vectors alone, so one gradient by these gives both.
    """

    _is_compiled = False

    @property
    def available_outputs(self) -> frozenset[str]:
        """The outputs that this network can give; stress needs no head."""
        return super().available_outputs | {"stress"}

    def forward(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward. While the network trains, energy and forces stay differentiable by its weights."""
        forces = stress = None
        if outputs.isdisjoint({"forces", "stress"}) and not self._is_compiled:  # one translation, one energy
            nodes, interaction = self._interaction(graph, graph.vectors)
        else:
            nodes, interaction, slope = self._interaction_and_slope(graph)
            forces = graph.forces_from_slope(slope) if "forces" in outputs else None
            stress = _stress_from_slope(slope, graph) if "stress" in outputs else None
        energy = self._total_energy(interaction, graph) if "energy" in outputs else None
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs))

    def read_out(
        self, nodes: Tensor, slope: Tensor | None, graph: AtomGraph, bonds: AtomGraph, outputs: AbstractSet[str]
    ) -> Prediction:
        """The outputs from the node features (N, D) and, where forces or stress are among them, the derivative of the
        energy without repulsion by the edge vectors (E, 3). bonds: the graph with at least the edges that repel."""
        repulsion, repulsion_slope = self.repulsion.energy_and_slope(bonds)
        energy = forces = stress = None
        if "energy" in outputs:
            energy = self._total_energy(self.heads["energy"](nodes, graph) + repulsion, graph)
        if slope is not None and "forces" in outputs:
            forces = graph.forces_from_slope(slope) + bonds.forces_from_slope(repulsion_slope)
        if slope is not None and "stress" in outputs:
            stress = _stress_from_slope(slope, graph) + _stress_from_slope(repulsion_slope, bonds)
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs))

    def compile_network(self) -> None:
        """See Orb.compile_network."""
        self._is_compiled = True
        self._interaction_and_slope = torch.compile(self._interaction_and_slope, dynamic=True)  # type: ignore[method-assign]

    def _interaction(self, graph: AtomGraph, vectors: Tensor) -> tuple[Tensor, Tensor]:
        nodes = self.model(graph, vectors)
        return nodes, self.heads["energy"](nodes, graph) + self.repulsion(graph, vectors)  # (N, D), (B,)

    def _interaction_and_slope(self, graph: AtomGraph) -> tuple[Tensor, Tensor, Tensor]:
        def interact(vectors: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            nodes, interaction = self._interaction(graph, vectors)
            return interaction.sum(), (nodes, interaction)

        slope, (nodes, interaction) = differentiate(interact, graph.vectors, keep_graph=self.training)
        return nodes, interaction, slope


def _stress_from_slope(slope: Tensor, graph: AtomGraph) -> Tensor:
    if graph.volumes is None:
        raise ModelError("stress needs a cell: a molecule in vacuum has no volume")
    return to_voigt(graph.virial_from_slope(slope)) / graph.volumes[:, None]  # (B, 6)


def to_voigt(tensor: Tensor) -> Tensor:
    """Symmetric (B, 3, 3) to (B, 6), order xx yy zz yz xz xy."""
    places = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    return torch.stack([0.5 * (tensor[:, i, j] + tensor[:, j, i]) for i, j in places], dim=1)
