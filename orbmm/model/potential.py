"""A loaded model, which predicts energies and forces of structures, in Å and eV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.errors import ModelError, StructureError, name_nearest
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.model.batch import MOST_EDGES, Structure, check_most_edges, gather_batches, number_errors, read_structures
from orbmm.model.composition import Composition, compose
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.model.inference.engine import Predictor
from orbmm.model.inference.threads import in_threads
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import OUTPUTS, Orb, Prediction
from orbmm.model.precision import Precision

ENERGY_AND_FORCES = frozenset({"energy", "forces"})


@dataclass(frozen=True)
class NumpyPrediction:
    """The result of Potential.predict, in float64.

    energy: [eV]; forces: (N, 3) [eV/Å]; stress: (6,) [eV/Å^3], Voigt order xx yy zz yz xz xy, None without a cell or
    without a stress head; confidence: (N, 50), None for models without that head
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    confidence: np.ndarray | None


@dataclass(frozen=True)
class _System:
    """A checked structure on the device of the model. positions: (N, 3) [Å]; cell: (3, 3) [Å] or None"""

    composition: Composition
    positions: Tensor
    cell: Tensor | None


@dataclass(frozen=True)
class Potential:
    """A network with its weights on a device, in one precision.

    search: the neighbour search; engine: what computes the network, None for the plain network (the reference)
    threads: of the processor, None for what torch has
    """

    record: CheckpointRecord
    network: Orb
    weights_sha256: str
    device: torch.device
    precision: Precision
    search: str = "auto"
    engine: Predictor | None = None
    threads: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Return the float type of the network."""
        return self.precision.dtype

    @torch.inference_mode(False)
    def compose(
        self,
        atomic_numbers: Sequence[int] | np.ndarray | Tensor,
        charge: float | None = None,
        multiplicity: int | None = None,
    ) -> Composition:
        """Check the atoms of a system once; see orbmm.model.composition.compose."""
        return compose(self.record, atomic_numbers, self.device, charge, multiplicity)

    @torch.inference_mode(False)
    def evaluate(
        self,
        composition: Composition,
        positions: Tensor,
        cell: Tensor | None = None,
        outputs: AbstractSet[str] = ENERGY_AND_FORCES,
    ) -> Prediction:
        """Predict on the device, without a copy to the host.

        positions: (N, 3) [Å], wrapped or not, float32 or float64; cell: (3, 3) [Å], rows are lattice vectors, or None
        outputs: any of energy, forces, stress (periodic only), confidence
        Raises StructureError or GraphError for invalid coordinates or cells, ModelError for unknown outputs and for
        coordinates or cells that require a gradient.
        """
        outputs = frozenset(outputs)
        self._check_outputs(outputs, cell)
        _refuse_gradient("positions", positions)
        _refuse_gradient("cell", cell)
        positions = _read_tensor("positions", positions)
        cell = None if cell is None else _read_tensor("cell", cell)
        _check_shape(composition, positions)
        with in_threads(self.threads):
            edges = self.find_edges(positions, cell)
            return self.run(self.make_graph(composition, positions, cell, edges), outputs)

    @torch.inference_mode(False)
    def run(self, graph: AtomGraph, outputs: AbstractSet[str] = ENERGY_AND_FORCES) -> Prediction:
        """Predict from a graph made by make_graph; outputs are not checked.

        On a CPU the first call makes this process keep freed memory; see orbmm.model.inference.allocator.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
        with torch.no_grad(), self.precision.in_force(self.device), in_threads(self.threads):
            if self.engine is not None:
                return self.engine.predict(graph, outputs)
            with record_function("orbmm: network"):
                return self.network(graph, outputs)

    @torch.inference_mode(False)
    def predict(
        self,
        atomic_numbers: Sequence[int] | np.ndarray | Tensor,
        positions: Any,
        cell: Any = None,
        charge: float | None = None,
        multiplicity: int | None = None,
    ) -> NumpyPrediction:
        """Predict all outputs of the model for one structure.

        atomic_numbers: (N,); positions: (N, 3) [Å]; cell: (3, 3) [Å], rows are lattice vectors, or None
        Positions and cell are arrays, tensors or lists; lengths with a unit of openmm.unit are converted.
        charge [e], multiplicity (0: not known): required by omol models, refused by the others
        Raises the errors of compose and evaluate.
        """
        system = self._read_system(Structure(atomic_numbers, positions, cell, charge, multiplicity))
        result = self.evaluate(system.composition, system.positions, system.cell, self._list_outputs(cell is not None))
        return self._convert(result)

    @torch.inference_mode(False)
    def predict_many(
        self, structures: Iterable[Structure | Sequence[Any]], most_edges: int = MOST_EDGES
    ) -> list[NumpyPrediction]:
        """Predict all outputs of the model for several structures, of which as many as fit are evaluated together.

        structures: the arguments of predict for each: (atomic_numbers, positions), then cell, charge and multiplicity
        most_edges: edges that are evaluated together; memory grows with them
        The results, in the order of the structures, are those of predict to rounding. No system sees another.
        Raises the errors of predict, with the number of the structure; elements, charges and shapes are checked first.
        """
        check_most_edges(most_edges)
        given = read_structures(structures)
        systems = [number_errors(self._read_system, index, structure) for index, structure in enumerate(given)]
        graphs = (number_errors(self._find_graph, index, system) for index, system in enumerate(systems))
        found: dict[int, NumpyPrediction] = {}
        for batch in gather_batches(graphs, most_edges):
            graph = batch.join()
            prediction = self.run(graph, self._list_outputs(graph.cells is not None))
            found |= {index: self._convert(each) for index, each in batch.split(prediction)}
        return [found[index] for index in range(len(found))]

    def _read_system(self, structure: Structure) -> _System:
        """Return a structure as tensors on the device, with its atoms and shapes checked."""
        composition = self.compose(structure.atomic_numbers, structure.charge, structure.multiplicity)
        _refuse_gradient("positions", structure.positions)
        _refuse_gradient("cell", structure.cell)
        positions = read_lengths("positions", structure.positions).to(self.device)
        cell = None if structure.cell is None else read_lengths("cell", structure.cell).to(self.device)
        _check_shape(composition, positions)
        return _System(composition, positions, cell)

    def _find_graph(self, system: _System) -> AtomGraph:
        with in_threads(self.threads):
            edges = self.find_edges(system.positions, system.cell)
            return self.make_graph(system.composition, system.positions, system.cell, edges)

    def _list_outputs(self, periodic: bool) -> AbstractSet[str]:
        """Return all outputs of the model; stress only where there is a cell."""
        return self.network.available_outputs - (frozenset() if periodic else frozenset({"stress"}))

    def _convert(self, result: Prediction) -> NumpyPrediction:
        """Return the prediction for one structure as arrays of NumPy."""
        if result.energy is None or result.forces is None:
            raise ModelError(f"{self.record.name} gave no energy or no forces")
        return NumpyPrediction(
            energy=float(result.energy),
            forces=_to_numpy(result.forces),
            stress=None if result.stress is None else _to_numpy(result.stress[0]),
            confidence=None if result.confidence is None else _to_numpy(result.confidence),
        )

    @torch.inference_mode(False)
    def find_edges(self, positions: Tensor, cell: Tensor | None) -> EdgeList:
        """Return the edges of a structure, with the cutoff and the maximum number of neighbours of this model.

        positions: (N, 3) [Å]; cell: (3, 3) [Å] or None
        """
        cutoff = self.record.architecture.cutoff_angstrom
        with record_function("orbmm: graph"):
            return find_edges(positions, cell, cutoff, self.record.max_neighbors, self.search)

    @torch.inference_mode(False)
    def make_graph(
        self, composition: Composition, positions: Tensor, cell: Tensor | None, edges: EdgeList
    ) -> AtomGraph:
        """Return the graph of one structure; vectors are computed in the type of the positions, then rounded once.

        positions: (N, 3) [Å], those of all systems of the composition; cell: (3, 3) [Å], the same for all, or None
        """
        charges, multiplicities = composition.charges, composition.multiplicities
        systems = len(composition.counts)
        centred = positions if cell is not None else _centre(positions, systems)  # far from 0, float32 is coarse
        return AtomGraph(
            atomic_numbers=composition.atomic_numbers,
            positions=centred.to(self.dtype),
            senders=edges.senders,
            receivers=edges.receivers,
            vectors=edges.vectors(positions, cell).to(self.dtype),
            system=composition.system,
            counts=composition.counts,
            cells=None if cell is None else cell.expand(systems, 3, 3),
            charges=None if charges is None else charges.to(self.dtype),
            multiplicities=None if multiplicities is None else multiplicities.to(self.dtype),
        )

    def _check_outputs(self, outputs: AbstractSet[str], cell: Tensor | None) -> None:
        for name in sorted(outputs):
            if name not in OUTPUTS:
                raise ModelError(f"unknown output '{name}': {name_nearest(name, OUTPUTS)}")
            if name not in self.network.available_outputs:
                given = ", ".join(sorted(self.network.available_outputs))
                raise ModelError(f"{self.record.name} has no {name} head: it gives {given}")
        if "stress" in outputs and cell is None:
            raise ModelError("stress needs a cell: a molecule in vacuum has no volume")


def _check_shape(composition: Composition, positions: Tensor) -> None:
    atoms = len(composition.atomic_numbers)
    if positions.shape != (atoms, 3):
        remedy = ": give several to predict_many" if positions.ndim > 2 else ""
        raise StructureError(f"positions have shape {tuple(positions.shape)}, expected ({atoms}, 3){remedy}")


def _centre(positions: Tensor, systems: int) -> Tensor:
    """Return positions (N, 3) relative to the mean of each of these systems, which have equally many atoms."""
    each = positions.reshape(systems, -1, 3)  # (B, N / B, 3)
    return (each - each.mean(dim=1, keepdim=True)).reshape(-1, 3)  # (N, 3)


def _refuse_gradient(name: str, values: Any) -> None:
    if isinstance(values, Tensor) and values.requires_grad:
        raise ModelError(
            f"{name} require a gradient, and predictions are not differentiable: use the forces and the "
            "stress, and pass values.detach()"
        )


def read_lengths(name: str, values: Any) -> Tensor:
    """Return lengths as a tensor of float64 [Å]; a unit of openmm.unit is converted.

    Raises StructureError unless they are real numbers in equal rows.
    """
    if not isinstance(values, np.ndarray | Tensor | list | tuple):
        from orbmm.units import take_angstrom  # loads OpenMM, which whoever has a unit has loaded

        try:
            values = take_angstrom(values)
        except TypeError as error:
            raise StructureError(f"{name} must be lengths, got the unit {values.unit}") from error
    try:
        array = values.detach().cpu() if isinstance(values, Tensor) else np.asarray(values)
        if array.dtype in (torch.bool, np.bool_) or _is_complex(array):
            raise StructureError(f"{name} must be real numbers [Å], got {array.dtype}")
        if isinstance(array, Tensor):
            array = array.to(torch.float64).numpy()
        elif array.dtype == object:
            raise TypeError("no numbers")
        return torch.tensor(np.array(array, dtype=np.float64), device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise StructureError(f"{name} must be real numbers [Å] in rows of three") from error


def _is_complex(array: np.ndarray | Tensor) -> bool:
    return array.is_complex() if isinstance(array, Tensor) else np.iscomplexobj(array)


def _read_tensor(name: str, values: Tensor) -> Tensor:
    """Return a tensor that a graph can be made of. Raises StructureError for anything but real floating numbers."""
    if not isinstance(values, Tensor) or not values.dtype.is_floating_point:
        found = str(values.dtype) if isinstance(values, Tensor) else type(values).__name__
        raise StructureError(f"{name} must be a torch tensor of floating numbers [Å], got {found}: or call predict")
    return values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float64)


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.to(torch.float64).cpu().numpy()
