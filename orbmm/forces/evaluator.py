"""Evaluate a network in the units of OpenMM: positions [nm] in, energy [kJ/mol] and forces [kJ/mol/nm] out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import ModelError, StructureError
from orbmm.forces.description import ForceDescription
from orbmm.graph.verlet import VerletList
from orbmm.model.inference.threads import in_threads
from orbmm.model.network.orb import ConservativeOrb
from orbmm.model.potential import ENERGY_AND_FORCES, Potential
from orbmm.model.step import CheckedPrediction, Step, is_finite
from orbmm.units import ANGSTROM_PER_NM, KJ_PER_MOL_NM_PER_EV_ANGSTROM, KJ_PER_MOL_PER_EV

_LOG = logging.getLogger(__name__)

SKIN_ANGSTROM = 0.7  # by scripts/benchmarks/skin.py: 0.5 to 1.0 cost the same, and more pairs take more memory


NOT_FINITE = (
    "the network gave NaN or infinity for this structure, which is far from the training data: "
    "minimise it, take a smaller time step, or start from a better structure"
)


@dataclass(frozen=True)
class _SentBox:
    """The last box that was copied to the device. given: (3, 3) [nm], as OpenMM gave it; cell: (3, 3) [Å]"""

    given: Tensor
    cell: Tensor


class AtomForces(ABC):
    """The forces on the atoms of one force of OpenMM: its units, its box and its subset of the particles.

    count: the number of atoms; atoms: their indices in the System, None for all particles
    periodic: True if the force needs a box; device: where it is computed
    """

    def __init__(self, count: int, atoms: tuple[int, ...] | None, periodic: bool, device: torch.device) -> None:
        self.periodic, self.device = periodic, device
        self.remembers = False  # set where several forces of a System ask for the same coordinates
        self._kept: _Answer | None = None
        self._sent_box: _SentBox | None = None
        self._count = count
        self._last = max(atoms) if atoms is not None else count - 1
        self._atoms = None if atoms is None else torch.tensor(atoms, dtype=torch.int64, device=device)  # (A,)

    @abstractmethod
    def _predict(self, positions: Tensor, cell: Tensor | None, wanted: torch.device) -> tuple[Tensor, Tensor]:
        """Return energy () [eV] and forces (A, 3) [eV/Å] in float64 at positions (A, 3) [Å]. wanted: for the energy"""

    @torch.inference_mode(False)
    def evaluate(self, positions_nm: Tensor, box_nm: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return energy and forces at OpenMM's coordinates; atoms outside the subset get zero force.

        positions_nm: (N, 3) [nm] of all particles of the System, wrapped or not; box_nm: (3, 3) rows [nm], or None
        Returns the energy () [kJ/mol] in float64 and the forces (N, 3) [kJ/mol/nm] in the type of the positions,
        contiguous (openmm-torch reads them through a raw pointer), both on the device of the positions.
        Raises StructureError for coordinates, boxes or numbers of particles that do not fit.
        """
        positions = positions_nm.detach().to(self.device, torch.float64) * ANGSTROM_PER_NM  # (N, 3)
        cell = self._read_cell(box_nm)
        self._check_count(len(positions))
        chosen = positions if self._atoms is None else positions[self._atoms]  # (A, 3)
        energy_ev, forces_ev = self._recall(chosen, cell, positions_nm.device)
        energy = energy_ev * KJ_PER_MOL_PER_EV  # ()
        forces = forces_ev * KJ_PER_MOL_NM_PER_EV_ANGSTROM  # (A, 3)
        if self._atoms is not None:
            forces = torch.zeros_like(positions).index_copy(0, self._atoms, forces)  # (N, 3)
        return energy.to(positions_nm.device), forces.to(positions_nm.device, positions_nm.dtype).contiguous()

    def _recall(self, positions: Tensor, cell: Tensor | None, wanted: torch.device) -> tuple[Tensor, Tensor]:
        """Return what _predict returns; for the very coordinates and cell of the last call, its answer.

        The answer is one object that is replaced as a whole, so that threads may share the evaluator.
        """
        kept = self._kept
        if kept is not None and kept.is_of(positions, cell):
            return kept.energy, kept.forces
        energy, forces = self._predict(positions, cell, wanted)
        if self.remembers:
            self._kept = _Answer(positions, cell, energy, forces)
        return energy, forces

    def _read_cell(self, box_nm: Tensor | None) -> Tensor | None:
        """Return the cell (3, 3) [Å] of a periodic force, None for any other force."""
        if not self.periodic:
            return None
        if box_nm is None:
            raise StructureError("the force is periodic, but OpenMM gave it no box: set the System's box vectors")
        sent = self._sent_box
        if sent is not None and box_nm.device == sent.given.device and torch.equal(box_nm, sent.given):
            return sent.cell
        cell = box_nm.detach().to(self.device, torch.float64) * ANGSTROM_PER_NM  # (3, 3)
        if box_nm.device != self.device:  # comparing on the host is cheaper than sending it again
            self._sent_box = _SentBox(box_nm.detach().clone(), cell)
        return cell

    def _check_count(self, particles: int) -> None:
        if self._atoms is None and particles != self._count:
            raise StructureError(
                f"the force was made for {self._count} atoms, and the System has {particles}: create it again"
            )
        if self._last >= particles:
            raise StructureError(
                f"the force acts on atom {self._last}, and the System has only {particles}: create it again"
            )


class Evaluator(AtomForces):
    """A network prepared for the atoms of one force, or for several copies of them, none of which sees another.

    Between two evaluations it keeps pairs of close atoms, to search less often. The results depend only on the current
    coordinates and box, to the last bit, so contexts and threads may share an evaluator.
    potential: the network; periodic: True if it needs a box; device: where the network runs
    """

    def __init__(self, potential: Potential, description: ForceDescription) -> None:
        numbers, copies = description.atomic_numbers, description.copies
        super().__init__(len(numbers) * copies, description.atoms, description.periodic, potential.device)
        self.potential, self.copies = potential, copies
        one = potential.compose(numbers, charge=description.charge, multiplicity=description.multiplicity)
        self._composition = one.repeat(copies)
        architecture, cap = potential.record.architecture, potential.record.max_neighbors
        self._neighbors = VerletList(architecture.cutoff_angstrom, cap, SKIN_ANGSTROM, potential.search, copies)
        self._step = Step(potential, self._composition, self._neighbors) if Step.suits(potential) else None
        self._has_counted = False
        self.keeps_rotation = False
        self._rotation: _Rotation | None = None

    @property
    def can_keep_rotation(self) -> bool:
        """Return whether an evaluation can give the rotational gradient too, at next to no cost."""
        is_alone = self._atoms is None and self.copies == 1
        return isinstance(self.potential.network, ConservativeOrb) and self._step is None and is_alone

    def find_rotational_gradient(self, positions_nm: Tensor, box_nm: Tensor | None) -> Tensor:
        """Return the rotational gradient (3, 3) [eV] at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None.

        That of the last evaluation is used if it was at these very coordinates. Set keeps_rotation before.
        """
        positions, cell = positions_nm.to(self.device, torch.float64) * ANGSTROM_PER_NM, self._read_cell(box_nm)
        kept = self._rotation
        if kept is None or not kept.is_of(positions, cell):
            self._predict(positions, cell, self.device)
            kept = self._rotation
        if kept is None:
            raise ModelError(f"{self.potential.record.name} gives no rotational gradient here: do not ask for it")
        return kept.gradient

    @torch.inference_mode(False)
    def find_energies(self, positions_nm: Tensor, box_nm: Tensor | None) -> Tensor:
        """Return the energy of each copy (C,) [kJ/mol] in float64, at a cost of one evaluation without forces.

        positions_nm: (N, 3) [nm] of all particles of the System; box_nm: (3, 3) rows [nm], or None
        Raises the errors of evaluate.
        """
        positions, cell = positions_nm.to(self.device, torch.float64) * ANGSTROM_PER_NM, self._read_cell(box_nm)
        self._check_count(len(positions))
        with in_threads(self.potential.threads):
            edges = self._neighbors.find_edges(positions, cell)
            graph = self.potential.make_graph(self._composition, positions, cell, edges)
            prediction = self.potential.run(graph, frozenset({"energy"}))
        if prediction.energy is None or not is_finite(prediction):
            raise StructureError(NOT_FINITE)
        return prediction.energy.detach().to(torch.float64) * KJ_PER_MOL_PER_EV  # (C,)

    def _predict(self, positions: Tensor, cell: Tensor | None, wanted: torch.device) -> tuple[Tensor, Tensor]:
        """See AtomForces._predict."""
        try:
            with in_threads(self.potential.threads):
                found = self._predict_checked(positions, cell)
            if not self._has_counted:
                self._warn_of_limit()
            energy, forces = _convert_finite(found)
            return (energy if found.energy is None or wanted.type != "cpu" else found.energy), forces
        except StructureError as error:
            if self._atoms is None:
                raise
            raise StructureError(f"{error} (atoms counted among the {self._count} that the network sees)") from error

    def _predict_checked(self, positions: Tensor, cell: Tensor | None) -> CheckedPrediction:
        if self._step is not None:
            return self._step.predict(positions, cell)
        with record_function("orbmm: graph"):
            edges = self._neighbors.find_edges(positions, cell)
            graph = self.potential.make_graph(self._composition, positions, cell, edges)
        if not self.keeps_rotation:
            prediction = self.potential.run(graph)
        else:
            prediction = self.potential.run(graph, ENERGY_AND_FORCES | {"rotational_gradient"})
            if prediction.rotational_gradient is not None:
                self._rotation = _Rotation(positions, cell, prediction.rotational_gradient[0])
        return CheckedPrediction(prediction, is_finite(prediction))

    def _warn_of_limit(self) -> None:
        """Log, at the first evaluation only, how many edges the limit of neighbours leaves out."""
        self._has_counted = True
        left_out = self._neighbors.count_left_out()
        if left_out is None:
            return
        record = self.potential.record
        _LOG.warning(
            "%s sees the %d nearest neighbours of each atom: %d of %d edges within %g Å, at %d of %d atoms, are left "
            "out at the start",
            *(record.name, record.max_neighbors, left_out.edges, left_out.total),
            *(record.architecture.cutoff_angstrom, left_out.atoms, self._count),
        )


@dataclass(frozen=True)
class _Answer:
    """Energy [eV] and forces (A, 3) [eV/Å] of a network at positions (A, 3) [Å] in a cell (3, 3) [Å] or None."""

    positions: Tensor
    cell: Tensor | None
    energy: Tensor
    forces: Tensor

    def is_of(self, positions: Tensor, cell: Tensor | None) -> bool:
        """Return whether the answer is that of these coordinates, to the last bit."""
        return _are_same(self.positions, positions) and _are_same(self.cell, cell)


@dataclass(frozen=True)
class _Rotation:
    """The rotational gradient (3, 3) [eV] at positions (N, 3) [Å] in a cell (3, 3) [Å] or None."""

    positions: Tensor
    cell: Tensor | None
    gradient: Tensor

    def is_of(self, positions: Tensor, cell: Tensor | None) -> bool:
        """Return whether the gradient is that of these coordinates, to the last bit."""
        return _are_same(self.positions, positions) and _are_same(self.cell, cell)


def _are_same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def _convert_finite(found: CheckedPrediction) -> tuple[Tensor, Tensor]:
    """Return energy () [eV] and forces (A, 3) [eV/Å] in float64. Raises StructureError for NaN or infinity."""
    prediction = found.prediction
    if prediction.energy is None or prediction.forces is None:
        raise ModelError("the network gave no energy or no forces, and OpenMM needs both")
    if not found.is_finite:
        raise StructureError(NOT_FINITE)
    energy = prediction.energy.detach().to(torch.float64)  # (C,)
    return energy.reshape(()) if len(energy) == 1 else energy.sum(), prediction.forces.detach().to(torch.float64)
