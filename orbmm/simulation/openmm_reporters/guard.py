"""The guard of `orbmm run` in anyone's OpenMM script."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from orbmm.errors import UnstableRun
from orbmm.settings import GuardSettings, Stage
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.dynamics.thermometer import make_thermometer
from orbmm.simulation.guard.guard import Guard, make_guard
from orbmm.simulation.guard.rescue import write_rescue
from orbmm.simulation.start.structure import Structure

_ROOM_KELVIN = 300.0


class StabilityGuard:
    """Appends to an openmm.app.Simulation's reporters; stops the simulation at the first sign that it goes wrong.

    It looks at coordinates, velocities, forces, covalent bonds, heat and drift, against where the simulation stood when
    it first stepped. Each look costs one evaluation of energy and forces. Put it first among the reporters: what comes
    after it then writes nothing wrong.
    """

    def __init__(
        self, reportInterval: int, limits: GuardSettings | None = None, rescue: str | Path | None = None
    ) -> None:
        """limits: as in the table [guard]; rescue: folder for the last good frames and the faulty one, None for none"""
        self._interval = reportInterval
        self._limits = limits or GuardSettings()
        self._rescue = None if rescue is None else Path(rescue)
        self._watch: tuple[Dynamics, Guard] | None = None

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next look. Where there is a box it asks for wrapped positions: OpenMM serves such reporters first."""
        if self._watch is None:
            self._watch = self._open(simulation)
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": None, "include": ["positions", "velocities", "forces", "energy"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Raise UnstableRun that says what is wrong with which atoms, if anything is."""
        if self._watch is None:
            self._watch = self._open(simulation)
        dynamics, guard = self._watch
        try:
            guard.check(_unwrap(dynamics.read_frame(state, energy=True), simulation.context))
        except UnstableRun as error:
            if self._rescue is None:
                raise
            write_rescue(self._rescue, guard, str(error))
            raise UnstableRun(f"{error}; the last good frames and forces are in {self._rescue}") from error

    def _open(self, simulation: app.Simulation) -> tuple[Dynamics, Guard]:
        context, topology = simulation.context, simulation.topology
        positions = np.array(context.getState(positions=True).getPositions(asNumpy=True)._value)
        barostat = openmm.MonteCarloBarostat.Pressure() in context.getParameters()
        stage = Stage(
            kind="produce",
            temperature_kelvin=_read_temperature(simulation.integrator),
            timestep_fs=simulation.integrator.getStepSize().value_in_unit(unit.femtosecond),
            pressure_bar=1.0 if barostat else None,
            integrator="verlet" if isinstance(simulation.integrator, openmm.VerletIntegrator) else "langevin-middle",
        )
        periodic = topology.getPeriodicBoxVectors() is not None
        dynamics = Dynamics(context, make_thermometer(simulation.system), periodic, stage)
        return dynamics, make_guard(self._limits, Structure(topology, positions), dynamics)


def _unwrap(frame: Frame, context: openmm.Context) -> Frame:
    """Return the frame with positions as they are integrated: wrapped ones would show a drift where a molecule crosses a face."""
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    return dataclasses.replace(frame, positions=positions)


def _read_temperature(integrator: openmm.Integrator) -> float:
    """Temperature of the bath [K]; room temperature for an integrator without one."""
    if not hasattr(integrator, "getTemperature"):
        return _ROOM_KELVIN
    return float(integrator.getTemperature().value_in_unit(unit.kelvin)) or _ROOM_KELVIN
