"""The two kinds of Orb-v3: direct (forces are predicted) and conservative (forces are the gradient of the energy)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.model.compile_cache import PRIVATE_OPTIONS, use_private_cache
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.heads import ConfidenceHead, EnergyHead, ForceHead, StressHead
from orbmm.model.network.network import OrbNetwork
from orbmm.model.network.repulsion import PairRepulsion, differentiate

OUTPUTS = frozenset({"energy", "forces", "stress", "confidence"})


@dataclass(frozen=True)
class Prediction:
    """The requested outputs, on the device of the graph; all others are None.

    energy: (B,) float64 [eV], reference energies included
    forces: (N, 3) [eV/Å]
    stress: (B, 6) [eV/Å^3], Voigt order xx yy zz yz xz xy, positive under tension: (1/V) dE/d(strain)
    confidence: (N, bins), probabilities of the bins of the expected force error
    rotational_gradient: (B, 3, 3) [eV], conservative networks only; see compute_rotational_gradient
    confidence_logits: (N, bins) float64, whose softmax is the confidence; for training
    """

    energy: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    confidence: Tensor | None = None
    rotational_gradient: Tensor | None = None
    confidence_logits: Tensor | None = None


class Orb(nn.Module):
    """The parts that both kinds share: network, energy head, confidence head and pair repulsion."""

    def __init__(self, architecture: Architecture, oddities: Oddities) -> None:
        super().__init__()
        self.architecture = architecture
        self.oddities = oddities
        self.model = OrbNetwork(architecture)
        self.heads = nn.ModuleDict({"energy": EnergyHead(architecture)})
        if architecture.confidence_bins:
            self.heads["confidence"] = ConfidenceHead(architecture)
        self.repulsion = PairRepulsion(oddities)
        self._is_compiled = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of, without compiled code, which computes with the weights of this network."""
        return {name: value for name, value in self.__dict__.items() if name != "_interaction_and_gradient"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy; that of a compiled network is compiled at its own first use."""
        super().__setstate__(state)
        if self._is_compiled:
            self.compile_network()

    @property
    def available_outputs(self) -> frozenset[str]:
        """Return the names of the outputs that this network has heads for."""
        outputs = {"energy", "forces"} | set(self.heads)
        return frozenset(outputs)

    def forward(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """Predict the named outputs, a subset of available_outputs; stress needs graph.cells."""
        raise NotImplementedError

    def differentiable_forces(self, graph: AtomGraph, vectors: Tensor, positions: Tensor) -> Tensor:
        """Return the forces (N, 3) [eV/Å], differentiable with respect to vectors and positions, which need gradients.

        vectors: (E, 3) [Å], of the edges; positions: (N, 3) [Å], which only the removal of the net torque uses
        The forces of forward are not differentiable so: the gradient of the repulsion is detached there.
        """
        raise NotImplementedError

    def compile_network(self) -> None:
        """Compile the expensive part with torch.compile at its first use, which takes a minute or more.

        On a CPU this needs a C++ compiler. Energies differ from those without compilation by rounding.
        """
        raise NotImplementedError

    def _confidence(self, nodes: Tensor, outputs: AbstractSet[str]) -> Tensor | None:
        return self.heads["confidence"](nodes.detach()) if "confidence" in outputs else None

    def _confidence_logits(self, nodes: Tensor, outputs: AbstractSet[str]) -> Tensor | None:
        head = cast(ConfidenceHead, self.heads["confidence"]) if "confidence_logits" in outputs else None
        return head.logits(nodes.detach()) if head is not None else None

    def _total_energy(self, interaction: Tensor, graph: AtomGraph) -> Tensor:
        return interaction + cast(EnergyHead, self.heads["energy"]).reference(graph)  # (B,)


class DirectOrb(Orb):
    """Predict forces and stress with separate heads; those of the pair repulsion are added as its exact gradient."""

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
        """Return the outputs from node features (N, D). bonds: the graph with at least the edges that repel."""
        repulsion, gradient = self.repulsion.energy_and_pair_gradient(bonds)
        energy = forces = stress = None
        if "energy" in outputs:
            energy = self._total_energy(self.heads["energy"](nodes, graph) + repulsion, graph)
        if "forces" in outputs:
            forces = self._own_forces(nodes, graph) + bonds.forces_from_gradient(gradient)
        if "stress" in outputs:
            stress = self.heads["stress"](nodes, graph) + _stress_from_gradient(gradient, bonds)
        logits = self._confidence_logits(nodes, outputs)
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs), confidence_logits=logits)

    def differentiable_forces(self, graph: AtomGraph, vectors: Tensor, positions: Tensor) -> Tensor:
        """See Orb.differentiable_forces."""
        moved = replace(graph, vectors=vectors, positions=positions)
        repulsion = self.repulsion.edge_energies(moved, vectors).sum()
        (gradient,) = torch.autograd.grad(repulsion, vectors, create_graph=True)
        return self._own_forces(self.model(moved, vectors), moved) + moved.forces_from_gradient(gradient)

    def compile_network(self) -> None:
        """See Orb.compile_network."""
        use_private_cache()
        self._is_compiled = True
        self.model.compile(dynamic=True, options=PRIVATE_OPTIONS)

    def _own_forces(self, nodes: Tensor, graph: AtomGraph) -> Tensor:
        forces = self.heads["forces"](nodes)  # (N, 3)
        if self.oddities.subtracts_mean_force:
            forces = subtract_mean_force(forces, graph)
        if self.oddities.removes_net_torque and graph.cells is None:
            forces = remove_net_torque(forces, graph)
        return forces


class ConservativeOrb(Orb):
    """Compute forces and stress as exact derivatives of the energy.

    Positions and strain enter only through the edge vectors, so one gradient with respect to these gives both.
    """

    @property
    def available_outputs(self) -> frozenset[str]:
        """Return the names of the outputs; stress needs no head."""
        return super().available_outputs | {"stress"}

    def forward(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward. In training mode, energy and forces stay differentiable with respect to the weights."""
        forces = stress = rotational = None
        # A compiled network has only one code path, so that its energy does not depend on the outputs.
        if outputs.isdisjoint({"forces", "stress", "rotational_gradient"}) and not self._is_compiled:
            nodes, interaction = self._interaction(graph, graph.vectors)
        else:
            nodes, interaction, gradient = self._interaction_and_gradient(graph)
            forces = graph.forces_from_gradient(gradient) if "forces" in outputs else None
            stress = _stress_from_gradient(gradient, graph) if "stress" in outputs else None
            rotational = compute_rotational_gradient(gradient, graph) if "rotational_gradient" in outputs else None
        energy = self._total_energy(interaction, graph) if "energy" in outputs else None
        logits = self._confidence_logits(nodes, outputs)
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs), rotational, logits)

    def read_out(
        self, nodes: Tensor, gradient: Tensor | None, graph: AtomGraph, bonds: AtomGraph, outputs: AbstractSet[str]
    ) -> Prediction:
        """Return the outputs from node features and the gradient.

        nodes: (N, D); bonds: the graph with at least the edges that repel
        gradient: (E, 3) [eV/Å], of the energy without repulsion with respect to the edge vectors; None for outputs
            without forces and stress
        """
        repulsion, repulsion_gradient = self.repulsion.energy_and_gradient(bonds)
        energy = forces = stress = rotational = None
        if "energy" in outputs:
            energy = self._total_energy(self.heads["energy"](nodes, graph) + repulsion, graph)
        if gradient is not None and "rotational_gradient" in outputs:
            rotational = compute_rotational_gradient(gradient, graph)
            rotational = rotational + compute_rotational_gradient(repulsion_gradient, bonds)
        if gradient is not None and "forces" in outputs:
            forces = graph.forces_from_gradient(gradient) + bonds.forces_from_gradient(repulsion_gradient)
        if gradient is not None and "stress" in outputs:
            stress = _stress_from_gradient(gradient, graph) + _stress_from_gradient(repulsion_gradient, bonds)
        return Prediction(energy, forces, stress, self._confidence(nodes, outputs), rotational)

    def differentiable_forces(self, graph: AtomGraph, vectors: Tensor, positions: Tensor) -> Tensor:
        """See Orb.differentiable_forces."""
        _, interaction = self._interaction(graph, vectors)
        (gradient,) = torch.autograd.grad(interaction.sum(), vectors, create_graph=True)
        return graph.forces_from_gradient(gradient)

    def compile_network(self) -> None:
        """See Orb.compile_network."""
        use_private_cache()
        self._is_compiled = True
        compiled = torch.compile(self._interaction_and_gradient, dynamic=True, options=PRIVATE_OPTIONS)
        self._interaction_and_gradient = compiled  # type: ignore[method-assign]

    def _interaction(self, graph: AtomGraph, vectors: Tensor) -> tuple[Tensor, Tensor]:
        nodes = self.model(graph, vectors)
        return nodes, self.heads["energy"](nodes, graph) + self.repulsion(graph, vectors)  # (N, D), (B,)

    def _interaction_and_gradient(self, graph: AtomGraph) -> tuple[Tensor, Tensor, Tensor]:
        def interact(vectors: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            nodes, interaction = self._interaction(graph, vectors)
            return interaction.sum(), (nodes, interaction)

        gradient, (nodes, interaction) = differentiate(interact, graph.vectors, keep_graph=self.training)
        return nodes, interaction, gradient


def _stress_from_gradient(gradient: Tensor, graph: AtomGraph) -> Tensor:
    return to_voigt(graph.virial_from_gradient(gradient)) / graph.compute_volumes()[:, None]  # (B, 6)


def compute_rotational_gradient(gradient: Tensor, graph: AtomGraph) -> Tensor:
    """Return the gradient of the energy by a rotation of all coordinates, (B, 3, 3) [eV]; zero for an invariant energy.

    gradient: (E, 3) [eV/Å], of the energy by the edge vectors
    With exp(G - G^T) inserted at the input, it is dE/dG at G = 0: the virial minus its transpose, so it costs nothing
    beside forces. Source: arXiv 2504.06231, equation 1.
    """
    if len(graph.counts) == 1 and gradient.device.type == "cpu":  # a product of matrices; on a GPU it could be in TF32
        virial = (graph.vectors.T @ gradient)[None]  # (1, 3, 3)
    else:
        virial = graph.virial_from_gradient(gradient)  # (B, 3, 3)
    return virial - virial.transpose(1, 2)


def to_voigt(tensor: Tensor) -> Tensor:
    """Return symmetric tensors (B, 3, 3) as (B, 6), order xx yy zz yz xz xy."""
    components = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    return torch.stack([0.5 * (tensor[:, i, j] + tensor[:, j, i]) for i, j in components], dim=1)


def subtract_mean_force(forces: Tensor, graph: AtomGraph) -> Tensor:
    """Shift the forces (N, 3) [eV/Å] of every system so that they sum to zero."""
    return forces - graph.mean_atoms(forces)[graph.system]


def remove_net_torque(forces: Tensor, graph: AtomGraph) -> Tensor:
    """Remove the net torque from forces (N, 3) [eV/Å] with the smallest possible change (least squares).

    The change of an atom at r from the centre is r x m, with one vector m per system. Its torque,
    sum r x (r x m) = (sum r r^T - sum r^2 1) m, must cancel the net torque. If all atoms lie on a line, m along the
    line is undetermined; the pseudo-inverse sets it to zero.
    """
    arms = graph.positions - graph.mean_atoms(graph.positions)[graph.system]  # (N, 3)
    torque = graph.sum_atoms(torch.linalg.cross(arms, forces))  # (B, 3)
    outer = graph.sum_atoms(arms[:, :, None] * arms[:, None, :])  # (B, 3, 3)
    spread = outer.diagonal(dim1=1, dim2=2).sum(dim=1)  # (B,)
    inertia = outer - spread[:, None, None] * torch.eye(3, dtype=forces.dtype, device=forces.device)  # (B, 3, 3)
    twist = -(torch.linalg.pinv(inertia, hermitian=True) @ torque[:, :, None])[:, :, 0]  # (B, 3)
    return forces + torch.linalg.cross(arms, twist[graph.system])
