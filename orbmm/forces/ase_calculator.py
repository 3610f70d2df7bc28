"""A network as a calculator of ASE: energies, forces and stresses for relaxations, phonons and elastic constants."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch

from orbmm.errors import MissingDependency, StructureError
from orbmm.forces.evaluator import SKIN_ANGSTROM
from orbmm.graph.verlet import VerletList
from orbmm.model.composition import Composition
from orbmm.model.load import load_model
from orbmm.model.potential import Potential

try:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes
    from ase.outputs import Properties, all_outputs
except ImportError as error:
    raise MissingDependency("orbmm.OrbCalculator needs ASE: pip install 'orbmm[ase]'") from error


class OrbCalculator(Calculator):
    """A network for `atoms.calc`. Pairs of close atoms are kept between calls; the results do not depend on that.

    implemented_properties: energy and free_energy [eV], forces (N, 3) [eV/Å], and where the network gives them stress
    (6,) [eV/Å^3] in ASE's order xx yy zz yz xz xy and confidence (N, 50), in `results` only
    """

    def __init__(
        self,
        name: str,
        charge: int | None = None,
        multiplicity: int | None = None,
        precision: str = "float64",
        weights: str | PathLike[str] | None = None,
        device: str | None = None,
    ) -> None:
        """Load a model of the catalogue.

        charge [e], multiplicity (0: not known): required by omol models, refused by the others; `atoms.info` and the
        initial charges of the atoms are not read
        precision: float64, because small displacements need it; weights, device: as in orbmm.load_model
        Raises ModelError, CheckpointError or DeviceError.
        """
        super().__init__()
        self._bind(load_model(name, weights, device, precision), charge, multiplicity)

    @classmethod
    def from_potential(
        cls, potential: Potential, charge: int | None = None, multiplicity: int | None = None
    ) -> OrbCalculator:
        """Return the calculator of a model that is loaded already, in the precision that it has."""
        calculator = cls.__new__(cls)
        Calculator.__init__(calculator)
        calculator._bind(potential, charge, multiplicity)
        return calculator

    def _bind(self, potential: Potential, charge: int | None, multiplicity: int | None) -> None:
        self.potential, self._charge, self._multiplicity = potential, charge, multiplicity
        self._outputs = potential.network.available_outputs
        self.implemented_properties = ["free_energy", *sorted(self._outputs)]
        architecture, cap = potential.record.architecture, potential.record.max_neighbors
        self._neighbors = VerletList(architecture.cutoff_angstrom, cap, SKIN_ANGSTROM, potential.search)
        self._numbers: np.ndarray | None = None
        self._composition: Composition | None = None

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Compute everything that the network gives; ASE calls this when the atoms have changed.

        Raises StructureError for atoms that are periodic along one or two axes only, and the errors of predict.
        """
        super().calculate(atoms, properties, system_changes)
        cell = read_cell(self.atoms)
        composition = self._compose(self.atoms.numbers)
        positions = torch.as_tensor(self.atoms.positions.copy(), dtype=torch.float64).to(self.potential.device)
        lattice = None if cell is None else torch.as_tensor(cell).to(self.potential.device)
        edges = self._neighbors.find_edges(positions, lattice)
        graph = self.potential.make_graph(composition, positions, lattice, edges)
        outputs = self._outputs if cell is not None else self._outputs - {"stress"}
        self.results = _read_results(vars(self.potential.run(graph, outputs)), outputs)

    def export_properties(self) -> Properties:
        """Return the results that ASE has a name for, which leaves out the confidence."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})

    def _compose(self, numbers: np.ndarray) -> Composition:
        """Return the checked atoms; they are checked again only if they changed."""
        if self._composition is None or self._numbers is None or not np.array_equal(numbers, self._numbers):
            self._composition = self.potential.compose(numbers, self._charge, self._multiplicity)
            self._numbers = numbers.copy()
        return self._composition


def read_cell(atoms: Atoms) -> np.ndarray | None:
    """Return the cell (3, 3) [Å] of atoms that are periodic along all axes, None for those periodic along none.

    Raises StructureError for anything between.
    """
    if not atoms.pbc.any():
        return None
    if not atoms.pbc.all():
        axes = " and ".join(axis for axis, periodic in zip("xyz", atoms.pbc, strict=True) if periodic)
        raise StructureError(
            f"the atoms are periodic along {axes} only, and a network sees a box along all axes or none: for a surface "
            "set atoms.pbc = True and leave more empty space than the cutoff, for a molecule atoms.pbc = False"
        )
    return np.array(atoms.cell, dtype=np.float64)


def _read_results(prediction: dict[str, Any], outputs: frozenset[str]) -> dict[str, Any]:
    """Return the results as ASE keeps them, in float64. Raises StructureError for NaN or infinity."""
    arrays = {name: prediction[name].detach().to("cpu", torch.float64).numpy() for name in outputs}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise StructureError(
            "the network gave NaN or infinity for this structure, which is far from the training data: "
            "start from a better structure, or take smaller steps"
        )
    energy = float(arrays.pop("energy").item())
    if "stress" in arrays:
        arrays["stress"] = arrays["stress"][0]
    return {"energy": energy, "free_energy": energy, **arrays}
