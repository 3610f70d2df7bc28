"""The interface between a diagnostic and what it measures: energy and forces as functions of the coordinates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orbmm.errors import ModelError
from orbmm.model.network.orb import ConservativeOrb
from orbmm.model.potential import Potential
from orbmm.training.data.frames import Frame

MOST_EDGES_OF_AUTOGRAD = 300_000
"""Beyond so many edges no derivative is taken through the network: the activations of all edges would be in memory."""


@dataclass(frozen=True)
class Place:
    """Coordinates at which a field is evaluated. positions: (N, 3) [Å]; cell: (3, 3) [Å], rows, or None"""

    positions: np.ndarray
    cell: np.ndarray | None = None

    def move(self, displacement: np.ndarray) -> Place:
        """Return the place with its atoms displaced by (N, 3) [Å]."""
        return Place(self.positions + displacement, self.cell)

    def rotate(self, rotation: np.ndarray) -> Place:
        """Return the place with atoms and cell multiplied by a rotation (3, 3) from the right."""
        return Place(self.positions @ rotation, None if self.cell is None else self.cell @ rotation)


@dataclass(frozen=True)
class Answer:
    """The answer of a field at a place. energy: [eV]; forces: (N, 3) [eV/Å]"""

    energy: float
    forces: np.ndarray


class Field(ABC):
    """Energy and forces as functions of the coordinates.

    rounding: relative error of the forces; it decides how large the steps of finite differences are
    """

    rounding = 1e-15

    @abstractmethod
    def evaluate(self, place: Place) -> Answer:
        """Return energy and forces."""

    def find_rotational_gradient(self, place: Place) -> np.ndarray | None:
        """Return the gradient of the energy by a rotation (3, 3) [eV] where it needs no differences, else None."""
        return None

    def find_transposed_product(self, place: Place, vector: np.ndarray) -> np.ndarray | None:
        """Return J^T v (N, 3) for the Jacobian J = dF/dr and v (N, 3) where there is autograd, else None."""
        return None


class NetworkField(Field):
    """A network on the atoms of one frame."""

    def __init__(self, potential: Potential, frame: Frame) -> None:
        """Check the atoms. Raises StructureError or ModelError for atoms, charge or multiplicity that do not fit."""
        self.potential = potential
        takes = potential.record.takes_charge
        self._composition = potential.compose(
            frame.atomic_numbers,
            frame.charge if takes or frame.charge else None,  # a network without charges refuses any but 0
            frame.multiplicity if takes else None,
        )
        self.rounding = float(torch.finfo(potential.dtype).eps)

    def evaluate(self, place: Place) -> Answer:
        """See Field.evaluate."""
        found = self.potential.evaluate(self._composition, *self._send(place))
        if found.energy is None or found.forces is None:
            raise ModelError(f"{self.potential.record.name} gave no energy or no forces")
        return Answer(float(found.energy), _to_numpy(found.forces))

    def find_confidence(self, place: Place) -> np.ndarray | None:
        """Return the probabilities (N, bins) of the confidence head, None for a network without one."""
        if "confidence" not in self.potential.network.available_outputs:
            return None
        found = self.potential.evaluate(self._composition, *self._send(place), frozenset({"confidence"}))
        return None if found.confidence is None else _to_numpy(found.confidence)

    def find_rotational_gradient(self, place: Place) -> np.ndarray | None:
        """See Field.find_rotational_gradient; from the virial of a conservative network."""
        network = self.potential.network
        if not isinstance(network, ConservativeOrb):
            return None
        positions, cell = self._send(place)
        edges = self.potential.find_edges(positions, cell)
        if len(edges) > MOST_EDGES_OF_AUTOGRAD:
            return None
        graph = self.potential.make_graph(self._composition, positions, cell, edges)
        with self.potential.precision.in_force(self.potential.device):
            found = network(graph, frozenset({"rotational_gradient"})).rotational_gradient
        return _to_numpy(found[0])

    def find_transposed_product(self, place: Place, vector: np.ndarray) -> np.ndarray | None:
        """See Field.find_transposed_product; by one backward pass through the forces."""
        positions, cell = self._send(place)
        edges = self.potential.find_edges(positions, cell)
        if len(edges) > MOST_EDGES_OF_AUTOGRAD:
            return None
        graph = self.potential.make_graph(self._composition, positions, cell, edges)
        with torch.enable_grad(), self.potential.precision.in_force(self.potential.device):
            vectors = graph.vectors.detach().requires_grad_(True)
            centred = graph.positions.detach().requires_grad_(True)
            forces = self.potential.network.differentiable_forces(graph, vectors, centred)
            product = (forces * torch.from_numpy(vector).to(forces)).sum()
            by_vector, by_position = torch.autograd.grad(product, (vectors, centred), allow_unused=True)
            found = -graph.forces_from_gradient(by_vector)
        return _to_numpy(found if by_position is None else found + by_position)

    def _send(self, place: Place) -> tuple[Tensor, Tensor | None]:
        device = self.potential.device
        cell = None if place.cell is None else torch.from_numpy(np.ascontiguousarray(place.cell)).to(device)
        return torch.from_numpy(np.ascontiguousarray(place.positions)).to(device), cell


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float64).numpy()
