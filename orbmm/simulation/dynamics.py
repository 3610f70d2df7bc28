"""A Context that moves: steps, observations, and OpenMM's complaints as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import openmm
from openmm import unit

from orbmm.errors import ForceError, UnstableRun
from orbmm.forces.failure import read_sentence
from orbmm.simulation.moment import Moment
from orbmm.simulation.thermometer import Thermometer

_SIGNS_OF_INSTABILITY = ("nan", "not finite", "infinite", "overlap")


@dataclass(frozen=True)
class Dynamics:
    """Context, its thermometer, and whether the box is periodic."""

    context: openmm.Context
    thermometer: Thermometer
    periodic: bool

    @property
    def step(self) -> int:
        """Steps since the start of production."""
        return int(self.context.getStepCount())

    @property
    def time_ps(self) -> float:
        """Time since the start of production [ps]."""
        return float(self.context.getTime().value_in_unit(unit.picosecond))

    @property
    def timestep_ps(self) -> float:
        """Length of a step [ps]."""
        return float(self.context.getIntegrator().getStepSize().value_in_unit(unit.picosecond))

    def advance(self, steps: int) -> None:
        """Integrate; raises UnstableRun where OpenMM or the network meets NaN, ForceError where the force fails."""
        with self._translate_errors():
            self.context.getIntegrator().step(steps)

    def observe(self, energy: bool, speed: float = 0.0) -> Moment:
        """Read positions, velocities and temperature; with energy also forces, which the same evaluation gives."""
        with self._translate_errors():
            state = self.context.getState(positions=True, velocities=True, energy=energy, forces=energy)
        # From the velocities, not from the state: that would cost an energy. Langevin-middle's are at the full step.
        velocities = state.getVelocities(asNumpy=True)._value
        kinetic = self.thermometer.kinetic_energy(velocities)
        return Moment(
            step=self.step,
            time_ps=self.time_ps,
            positions=state.getPositions(asNumpy=True)._value,
            velocities=velocities,
            box=state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None,
            kinetic_energy=kinetic,
            temperature=self.thermometer.temperature(kinetic),
            potential_energy=state.getPotentialEnergy()._value if energy else None,
            forces=state.getForces(asNumpy=True)._value if energy else None,
            speed=speed,
        )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except openmm.OpenMMException as error:
            text = read_sentence(error)
            if any(sign in text.lower() for sign in _SIGNS_OF_INSTABILITY):
                raise UnstableRun(describe_failure(self.step, self.time_ps, f"OpenMM says: {text}")) from error
            raise ForceError(f"the force failed after step {self.step}: {text}") from error


def describe_failure(step: int, time_ps: float, what: str) -> str:
    """Where and what of an unstable run, in one sentence."""
    return f"unstable at step {step} ({time_ps:.4f} ps): {what}"
