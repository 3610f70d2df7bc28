"""The Context of a stage: steps, bath temperature, frames, and OpenMM's errors as errors of orbmm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import openmm
from openmm import unit

from orbmm.errors import ForceError, OutOfMemory, UnstableRun
from orbmm.forces.failure import is_out_of_memory, read_sentence
from orbmm.settings import Stage
from orbmm.simulation.dynamics.frame import Frame, State
from orbmm.simulation.dynamics.thermometer import Thermometer
from orbmm.units import KJ_PER_MOL_PER_KELVIN

_SIGNS_OF_INSTABILITY = ("nan", "not finite", "infinite", "overlap")


STEPS_BETWEEN_TEMPERATURES = 50
"""Steps between two changes of the bath temperature in a heat stage."""


@dataclass(frozen=True)
class Dynamics:
    """The Context of one stage and its thermometer.

    periodic: the System has a periodic box; first_step: first step of the stage, counted in its phase
    """

    context: openmm.Context
    thermometer: Thermometer
    periodic: bool
    stage: Stage
    first_step: int = 0

    @property
    def step(self) -> int:
        """Return the number of steps since the start of the phase, equilibration or production."""
        return int(self.context.getStepCount())

    @property
    def time_ps(self) -> float:
        """Return the time since the start of the phase [ps]."""
        return float(self.context.getTime().value_in_unit(unit.picosecond))

    @property
    def timestep_ps(self) -> float:
        """Return the length of a step [ps]."""
        return float(self.context.getIntegrator().getStepSize().value_in_unit(unit.picosecond))

    def place(self, state: State, velocity_seed: int) -> None:
        """Set positions, velocities, box and time from the stage before, or from the start of the run.

        velocity_seed: seed for drawing velocities, if the state has none
        """
        context, masses = self.context, self.thermometer.masses
        if state.box is not None:
            context.setPeriodicBoxVectors(*state.box)
        context.setPositions(state.positions)
        context.setTime(state.time_ps)
        context.setStepCount(self.first_step)
        velocities = state.velocities_of(masses)
        if velocities is not None:
            context.setVelocities(velocities)
        elif self.stage.moves:
            with self.translate_errors():  # an integrator whose velocities are not at the full step needs forces
                context.setVelocitiesToTemperature(self.stage.start_temperature_kelvin * unit.kelvin, velocity_seed)
            drawn = context.getState(velocities=True).getVelocities(asNumpy=True)._value
            context.setVelocities(self.thermometer.remove_drift(drawn))

    def read_state(self) -> State:
        """Return the current state of the atoms, for the next stage."""
        state = self.context.getState(positions=True, velocities=True)
        return State(
            positions=state.getPositions(asNumpy=True)._value,
            velocities=state.getVelocities(asNumpy=True)._value if self.stage.moves else None,
            masses=self.thermometer.masses,
            box=state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None,
            time_ps=self.time_ps,
        )

    def advance(self, steps: int) -> None:
        """Integrate. Raises UnstableRun if OpenMM or the network finds NaN, ForceError if the force fails."""
        last = self.step + steps
        with self.translate_errors():
            while self.step < last:
                self.context.getIntegrator().step(min(last - self.step, self._follow_ramp()))

    def _follow_ramp(self) -> int:
        """Set the bath of a heat stage to the temperature of this step; return the steps until the next change."""
        if self.stage.from_temperature_kelvin is None:
            return 2**31 - 1
        taken = self.step - self.first_step
        set_temperature(self.context, bath_temperature(self.stage, taken))
        return STEPS_BETWEEN_TEMPERATURES - taken % STEPS_BETWEEN_TEMPERATURES

    def observe(self, energy: bool, speed: float = 0.0) -> Frame:
        """Return positions, velocities and temperature; with `energy` also potential energy and forces.

        Energy and forces come from the same evaluation of the network.
        """
        with self.translate_errors():
            if energy and self.stage.inner_steps > 1:
                return self._observe_custom(speed)
            state = self.context.getState(positions=True, velocities=True, energy=energy, forces=energy)
            return self.read_frame(state, energy, speed)

    def _observe_custom(self, speed: float) -> Frame:
        """Return the frame with its energy from a CustomIntegrator, and leave the random numbers as they were.

        OpenMM draws random numbers for the kinetic energy of such an integrator, which would change the run.
        """
        before = self.context.createCheckpoint()
        state = self.context.getState(positions=True, velocities=True, energy=True, forces=True)
        frame = self.read_frame(state, energy=True, speed=speed)
        self.context.loadCheckpoint(before)
        return frame

    def read_frame(self, state: openmm.State, energy: bool, speed: float = 0.0) -> Frame:
        """Return the frame of a state of this Context, which holds positions and velocities.

        energy: the state also holds potential energy and forces
        """
        velocities = state.getVelocities(asNumpy=True)._value
        forces = state.getForces(asNumpy=True)._value if energy else None
        # From the velocities, because the kinetic energy of the state would need an evaluation of the energy.
        thermometer, full_step = self.thermometer, self._advance_velocities(velocities, forces)
        kinetic = thermometer.kinetic_energy(full_step)
        return Frame(
            step=self.step,
            time_ps=self.time_ps,
            positions=state.getPositions(asNumpy=True)._value,
            velocities=velocities,
            box=state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None,
            kinetic_energy=kinetic,
            temperature=thermometer.temperature(kinetic),
            element_temperatures=thermometer.name_temperatures(full_step),
            potential_energy=state.getPotentialEnergy()._value if energy else None,
            forces=forces,
            speed=speed,
        )

    def _advance_velocities(self, velocities: np.ndarray, forces: np.ndarray | None) -> np.ndarray:
        """Return the velocities (N, 3) at the full step.

        The velocities of verlet are half a step behind; forces (N, 3) advance them.
        """
        if self.stage.integrator != "verlet" or self.stage.inner_steps > 1 or forces is None:
            return velocities
        masses = self.thermometer.masses[:, None]
        return velocities + 0.5 * self.timestep_ps * np.divide(
            forces, masses, out=np.zeros_like(velocities), where=masses > 0.0
        )

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn an error of OpenMM into UnstableRun, OutOfMemory or ForceError, with the step."""
        try:
            yield
        except openmm.OpenMMException as error:
            text = read_sentence(error)
            if any(sign in text.lower() for sign in _SIGNS_OF_INSTABILITY):
                raise UnstableRun(describe_failure(self.step, self.time_ps, f"OpenMM says: {text}")) from error
            if is_out_of_memory(text):
                raise OutOfMemory(f"out of memory after step {self.step}: {text}") from error
            raise ForceError(f"the force failed after step {self.step}: {text}") from error


def describe_failure(step: int, time_ps: float, what: str) -> str:
    """Return one sentence that says when and why a run became unstable."""
    return f"unstable at step {step} ({time_ps:.4f} ps): {what}"


def bath_temperature(stage: Stage, step: int) -> float:
    """Return the bath temperature [K] after a number of steps of a stage; heat raises it in small increments."""
    taken = step // STEPS_BETWEEN_TEMPERATURES * STEPS_BETWEEN_TEMPERATURES
    start, end = stage.start_temperature_kelvin, stage.temperature_kelvin
    return start + min(1.0, taken / stage.steps) * (end - start) if start != end else end


def set_temperature(context: openmm.Context, kelvin: float) -> None:
    """Set the temperature [K] of the heat bath and, if there is one, of the barostat."""
    integrator = context.getIntegrator()
    if isinstance(integrator, openmm.CustomIntegrator):
        integrator.setGlobalVariableByName("kT", KJ_PER_MOL_PER_KELVIN * kelvin)
    elif not isinstance(integrator, openmm.VerletIntegrator):
        integrator.setTemperature(kelvin * unit.kelvin)
    if openmm.MonteCarloBarostat.Temperature() in context.getParameters():
        context.setParameter(openmm.MonteCarloBarostat.Temperature(), kelvin)
