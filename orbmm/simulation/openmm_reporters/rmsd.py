"""Reporter of the RMSD from the start, for any OpenMM script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orbmm.errors import RunError
from orbmm.simulation.reporters.rmsd import RmsdMeter
from orbmm.simulation.start.selection import select_atoms

COLUMNS = ("step", "time_ps", "rmsd_nm")


class RmsdReporter:
    """A reporter for openmm.app.Simulation that writes a table of the RMSD of selected atoms after superposition."""

    def __init__(
        self,
        file: str | Path,
        reportInterval: int,
        selection: str = "backbone",
        reference: np.ndarray | unit.Quantity | None = None,
        append: bool = False,
    ) -> None:
        """Write the header of the table, unless an existing file is continued.

        selection: "solute", "solute heavy", "backbone" or any mdtraj selection
        reference: positions (N, 3) [nm] of all atoms, with whole molecules; None: those before the first step
        append: continue an existing file, which needs the reference of its first start
        In a periodic system molecules are taken in the image that lies beside the first one as it did before.
        Raises RunError for a file that is to be continued without a reference.
        """
        self._path = Path(file)
        continued = append and self._path.exists()
        if continued and reference is None:
            raise RunError(
                f"{self._path} holds no reference for its next rows: give reference=, the positions [nm] that its "
                "first rows were measured from, or append=False"
            )
        self._interval = reportInterval
        self._selection = selection
        self._reference = reference
        self._meter: RmsdMeter | None = None
        self._periodic = False
        if not continued:
            self._path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Return the number of steps to the next row; positions are requested unwrapped.

        Raises RunError for a selection that contains no atom.
        """
        if self._meter is None:
            self._meter = self._open(simulation)
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Write one row."""
        if self._meter is None:
            self._meter = self._open(simulation)
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._periodic else None
        rmsd = self._meter.measure(np.asarray(state.getPositions(asNumpy=True)._value), box)
        time_ps = state.getTime().value_in_unit(unit.picosecond)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"{simulation.currentStep},{time_ps:.6f},{rmsd:.6f}\n")

    def _open(self, simulation: app.Simulation) -> RmsdMeter:
        reference = self._reference
        if reference is None:
            reference = simulation.context.getState(positions=True).getPositions(asNumpy=True)
        if isinstance(reference, unit.Quantity):
            reference = reference.value_in_unit(unit.nanometer)
        self._periodic = simulation.system.usesPeriodicBoundaryConditions()
        atoms = select_atoms(simulation.topology, self._selection)
        return RmsdMeter(np.array(reference), atoms, _find_molecules(simulation.topology))


def _find_molecules(topology: app.Topology) -> list[list[int]]:
    """Return the atoms of each molecule, by the bonds of the topology."""
    atoms = topology.getNumAtoms()
    pairs = np.array([(first.index, second.index) for first, second in topology.bonds()], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(atoms, atoms))
    count, owner = connected_components(graph, directed=False)
    order = np.argsort(owner, kind="stable")
    return [each.tolist() for each in np.split(order, np.cumsum(np.bincount(owner, minlength=count))[:-1])]
