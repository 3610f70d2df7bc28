"""Ziegler-Biersack-Littmark (ZBL) repulsion between close nuclei, cut off at the sum of covalent radii."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn

from orbmm.checkpoints.architecture import Oddities
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.basis import evaluate_envelope


def differentiate(function: Callable[[Tensor], tuple[Tensor, Any]], point: Tensor, keep_graph: bool = False) -> Any:
    """Return the gradient of a function's first value with respect to its argument, and the second value.

    function: returns a scalar and a second value, which is a tensor or a tuple of tensors
    point: the argument at which the gradient is taken
    keep_graph: keep both results differentiable with respect to the weights, as training needs
    """
    if torch.compiler.is_compiling():  # the compiler can trace a gradient only through torch.func
        return torch.func.grad(function, has_aux=True)(point)
    with torch.enable_grad():
        leaf = point.detach().requires_grad_(True)
        value, rest = function(leaf)
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=keep_graph)
    if keep_graph:
        return gradient, rest
    return gradient, tuple(part.detach() for part in rest) if isinstance(rest, tuple) else rest.detach()


# Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (1985); rounded as in the published models.
SCREENING_WEIGHTS = (0.1818, 0.5099, 0.2802, 0.02817)
SCREENING_EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
SCREENING_LENGTH = 0.4543 * 0.529  # [Å]
CHARGE_EXPONENT = 0.300
COULOMB_CONSTANT = 14.3996  # [eV Å]
ENVELOPE_POWER = 6


@cache
def read_covalent_radii() -> tuple[float, ...]:
    """Return covalent radii [Å] by atomic number, from Cordero et al., Dalton Trans. 2832 (2008); see the table."""
    table = tomllib.loads(files("orbmm.model.network").joinpath("covalent_radii.toml").read_text(encoding="utf-8"))
    return tuple(table["radii_angstrom"])


class PairRepulsion(nn.Module):
    """Compute the energy of every edge; forces and stress follow from its gradient with respect to the edge vectors."""

    weights: Tensor
    exponents: Tensor
    radii: Tensor

    def __init__(self, oddities: Oddities) -> None:
        super().__init__()
        self.number_offset = oddities.zbl_number_offset
        self.aggregation = oddities.zbl_aggregation
        self.register_buffer("weights", torch.tensor(SCREENING_WEIGHTS, dtype=torch.float64), persistent=False)
        self.register_buffer("exponents", torch.tensor(SCREENING_EXPONENTS, dtype=torch.float64), persistent=False)
        self.register_buffer("radii", torch.tensor(read_covalent_radii(), dtype=torch.float64), persistent=False)

    def forward(self, graph: AtomGraph, vectors: Tensor) -> Tensor:
        """Return the energy of each system (B,) [eV], summed or averaged over its atoms. vectors: (E, 3) [Å]."""
        return self.sum_or_mean(graph, self.edge_energies(graph, vectors))

    def take_close_edges(self, graph: AtomGraph) -> AtomGraph:
        """Return the graph with only the edges whose energy is not exactly zero: bonds and little more."""
        lengths = torch.linalg.vector_norm(graph.vectors, dim=-1)  # (E,)
        return graph.take_edges((lengths < self._sum_radii(graph)).nonzero().squeeze(1))

    def count_close_edges(self, graph: AtomGraph) -> Tensor:
        """Return for each edge how many edges up to it repel: (E,) int64."""
        lengths = torch.linalg.vector_norm(graph.vectors, dim=-1)  # (E,)
        return (lengths < self._sum_radii(graph)).cumsum(0)

    def energy_and_gradient(self, graph: AtomGraph) -> tuple[Tensor, Tensor]:
        """Return the energy of each system (B,) [eV], and the gradient of their sum by the vectors (E, 3) [eV/Å]."""

        def repel(vectors: Tensor) -> tuple[Tensor, Tensor]:
            energies = self(graph, vectors)  # (B,)
            return energies.sum(), energies

        gradient, energies = differentiate(repel, graph.vectors)
        return energies, gradient

    def energy_and_pair_gradient(self, graph: AtomGraph) -> tuple[Tensor, Tensor]:
        """Return the energy of each system (B,) [eV], and the gradient (E, 3) [eV/Å] of the sum over all pairs.

        The gradient is that of the sum even where the energy is a mean over atoms: direct models add the pair forces.
        """

        def repel(vectors: Tensor) -> tuple[Tensor, Tensor]:
            edges = self.edge_energies(graph, vectors)  # (E,)
            return edges.sum(), edges

        gradient, edges = differentiate(repel, graph.vectors)
        return self.sum_or_mean(graph, edges), gradient

    def sum_or_mean(self, graph: AtomGraph, edge_energies: Tensor) -> Tensor:
        """Sum or average edge energies (E,) to the energy of each system (B,), in float64, as zbl_aggregation says."""
        atoms = graph.sum_senders(edge_energies).to(torch.float64)  # (N,)
        return graph.sum_atoms(atoms) if self.aggregation == "sum" else graph.mean_atoms(atoms)

    def edge_energies(self, graph: AtomGraph, vectors: Tensor) -> Tensor:
        """Return half the pair energy for each directed edge, (E,) [eV]. vectors: (E, 3) [Å]."""
        senders, receivers = self._shift_numbers(graph)
        lengths = torch.linalg.vector_norm(vectors, dim=-1)  # (E,)
        charges_s, charges_r = senders.to(lengths.dtype), receivers.to(lengths.dtype)
        screening = SCREENING_LENGTH / (charges_s**CHARGE_EXPONENT + charges_r**CHARGE_EXPONENT)
        # A sum, not a matrix product: that could be in TF32.
        decay = (torch.exp(-self.exponents * (lengths / screening)[:, None]) * self.weights).sum(dim=1)  # (E,)
        coulomb = COULOMB_CONSTANT * charges_s * charges_r / lengths
        return 0.5 * coulomb * decay * evaluate_envelope(lengths / self._sum_radii(graph), ENVELOPE_POWER)

    def _sum_radii(self, graph: AtomGraph) -> Tensor:
        """Return the distance where the repulsion of each edge ends, (E,) [Å]."""
        senders, receivers = self._shift_numbers(graph)
        return self.radii[senders] + self.radii[receivers]

    def _shift_numbers(self, graph: AtomGraph) -> tuple[Tensor, Tensor]:
        """Return the atomic numbers of senders and receivers, (E,) each, shifted as the published weights expect."""
        numbers = graph.atomic_numbers + self.number_offset  # (N,)
        return numbers[graph.senders], numbers[graph.receivers]
