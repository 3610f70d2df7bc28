"""Reporter of the confidence of an Orb model, for any OpenMM script."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from orbmm.errors import ModelError
from orbmm.run_files.confidence import describe_records
from orbmm.settings import ModelSettings
from orbmm.simulation.force_source import ConfidenceSource
from orbmm.simulation.reporters.confidence import ConfidenceWriter


class ConfidenceReporter:
    """A reporter for openmm.app.Simulation that writes a file like the confidence.dat of `orbmm run`.

    Append it to `simulation.reporters`. Each report costs one evaluation of the network without forces.
    """

    def __init__(
        self,
        file: str | Path,
        reportInterval: int,
        model: str | ModelSettings,
        atoms: Iterable[int] | None = None,
        append: bool = False,
    ) -> None:
        """Keep the arguments; the network is loaded at the first report.

        file: path of the records; a JSON file of the same name describes them
        reportInterval: steps between two records
        model: the model that gives the forces, by its name or, for your own weights, as ModelSettings
        atoms: indices of the atoms that the network acts on; None for all
        append: continue an existing file
        """
        self._path = Path(file)
        self._interval = reportInterval
        self._model = ModelSettings(model) if isinstance(model, str) else model
        self._atoms = None if atoms is None else list(atoms)
        self._append = append
        self._source: ConfidenceSource | None = None
        self._writer: ConfidenceWriter | None = None

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Return the number of steps to the next record; positions are requested unwrapped."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Write one record. The first raises ModelError for a model without a confidence head."""
        if self._source is None or self._writer is None:
            self._source, self._writer = self._open(simulation)
        periodic = simulation.topology.getPeriodicBoxVectors() is not None
        positions = state.getPositions(asNumpy=True)._value
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if periodic else None
        time_ps = state.getTime().value_in_unit(unit.picosecond)
        self._writer.write(simulation.currentStep, time_ps, self._source.measure(np.asarray(positions), box))

    def _open(self, simulation: app.Simulation) -> tuple[ConfidenceSource, ConfidenceWriter]:
        from orbmm.forces.attach import holds_copies  # imports torch, which the force has already loaded
        from orbmm.forces.confidence import open_confidence

        if self._atoms is None and holds_copies(simulation.system):
            raise ModelError(
                "the System holds copies that do not see each other, and a confidence is that of one: give "
                "ConfidenceReporter(atoms=...), the atoms of one copy"
            )
        source = open_confidence(simulation.topology, self._model, self._atoms)
        if source is None:
            raise ModelError(f"{self._model.name} has no confidence head: there is nothing to report")
        count = simulation.topology.getNumAtoms()
        timestep_fs = simulation.integrator.getStepSize().value_in_unit(unit.femtosecond)
        describe_records(self._path, count, source.bin_edges, self._interval * timestep_fs)
        append = self._append and self._path.exists()
        return source, ConfidenceWriter(self._path, self._interval, append)
