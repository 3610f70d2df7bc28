"""The guard of `orbmm run`, for any OpenMM script."""

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
    """A reporter for openmm.app.Simulation that stops the simulation at the first sign of instability.

    It checks coordinates, velocities, forces, covalent bonds, temperature and drift, compared with the state before the
    first step. Each check costs one evaluation of energy and forces. Make it the first of `simulation.reporters`, so
    that the others do not write a faulty frame.
    """

    def __init__(
        self, reportInterval: int, limits: GuardSettings | None = None, rescue: str | Path | None = None
    ) -> None:
        """Keep the arguments; the start is read before the first step.

        reportInterval: steps between two checks
        limits: as in the table [guard]; None for the defaults
        rescue: folder for the last good frames and the faulty one; None to write none
        """
        self._interval = reportInterval
        self._limits = limits or GuardSettings()
        self._rescue = None if rescue is None else Path(rescue)
        self._watch: tuple[Dynamics, Guard] | None = None

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Return the number of steps to the next check.

        With a box, wrapped positions are requested, because OpenMM calls such reporters first.
        """
        if self._watch is None:
            self._watch = self._open(simulation)
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": None, "include": ["positions", "velocities", "forces", "energy"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Raise UnstableRun, with the fault and its atoms, if the frame is faulty."""
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
        dynamics = Dynamics(context, make_thermometer(simulation.system, topology), periodic, stage)
        return dynamics, make_guard(self._limits, Structure(topology, positions), dynamics)


def _unwrap(frame: Frame, context: openmm.Context) -> Frame:
    """Return the frame with unwrapped positions.

    Wrapped positions would show a drift when a molecule crosses a face of the box.
    """
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    return dataclasses.replace(frame, positions=positions)


def _read_temperature(integrator: openmm.Integrator) -> float:
    """Return the temperature of the heat bath [K]; room temperature for an integrator without one."""
    if not hasattr(integrator, "getTemperature"):
        return _ROOM_KELVIN
    return float(integrator.getTemperature().value_in_unit(unit.kelvin)) or _ROOM_KELVIN
