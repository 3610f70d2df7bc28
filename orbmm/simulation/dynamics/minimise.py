"""Relaxation of a structure by its forces alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import openmm

from orbmm.errors import UnstableRun
from orbmm.simulation.dynamics.thermometer import Thermometer

_LOG = logging.getLogger(__name__)

SMALL_FORCE = 100.0
"""Largest force at which a structure counts as relaxed [kJ/mol/nm]; thermal forces at 300 K are ten times this."""

_LARGEST_MOVE = 0.01  # nm per evaluation and coordinate
_FIRST_STEP = 0.0005
_LONGEST_STEP = 0.002  # below 2/omega of an O-H bond at unit mass, 0.003
_DELAY, _FASTER, _SLOWER, _FIRST_MIX, _LESS_MIX = 5, 1.1, 0.5, 0.1, 0.99


@dataclass(frozen=True)
class Relaxation:
    """How a minimisation went; forces are the largest of any atom [kJ/mol/nm]."""

    evaluations: int
    force_before: float
    force_after: float


def minimise(
    context: openmm.Context,
    thermometer: Thermometer,
    most_evaluations: int,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Relaxation:
    """Move the Context's positions downhill until its largest force is small or the evaluations are spent.

    FIRE needs forces only, so that direct models, whose forces are not the gradient of their energy, relax as well
    as conservative ones; a line search on the energy stalls there. The positions with the smallest largest force win.
    is_interrupted: asked after each evaluation; True ends the descent where it is
    Raises UnstableRun if a force is not finite.
    Source: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
    """
    state = context.getState(positions=True)
    descent = _Descent(state.getPositions(asNumpy=True)._value, thermometer.masses > 0.0)
    before = best = np.inf
    best_positions = descent.positions
    for evaluation in range(1, most_evaluations + 1):
        forces = _read_forces(context, descent.positions, evaluation)
        largest = float(np.linalg.norm(forces, axis=1).max())
        if evaluation == 1:
            before = largest
        if largest < best:
            best, best_positions = largest, descent.positions
        if largest < SMALL_FORCE or is_interrupted():
            break
        descent.move(forces)
    context.setPositions(best_positions)
    _LOG.info("relaxed: largest force %.0f -> %.0f kJ/mol/nm in %d evaluations", before, best, evaluation)
    return Relaxation(evaluation, before, best)


class _Descent:
    """The state of FIRE: positions (N, 3) [nm], a velocity at unit mass, a time step and a mixing weight."""

    def __init__(self, positions: np.ndarray, movable: np.ndarray) -> None:
        self.positions = positions
        self._movable = movable[:, None]
        self._velocity = np.zeros_like(positions)
        self._step = _FIRST_STEP
        self._mix = _FIRST_MIX
        self._downhill = 0

    def move(self, forces: np.ndarray) -> None:
        """One step along forces (N, 3) [kJ/mol/nm]."""
        forces = np.where(self._movable, forces, 0.0)
        if np.vdot(forces, self._velocity) > 0.0:
            self._steer(forces)
        elif self._velocity.any():
            self._velocity = np.zeros_like(self._velocity)
            self._step, self._mix, self._downhill = self._step * _SLOWER, _FIRST_MIX, 0
        self._velocity = self._velocity + self._step * forces
        self.positions = self.positions + np.clip(self._step * self._velocity, -_LARGEST_MOVE, _LARGEST_MOVE)

    def _steer(self, forces: np.ndarray) -> None:
        """Turn the velocity towards the force and, after some steps downhill, go faster."""
        along = np.linalg.norm(self._velocity) / np.linalg.norm(forces)
        self._velocity = (1.0 - self._mix) * self._velocity + self._mix * along * forces
        self._downhill += 1
        if self._downhill > _DELAY:
            self._step, self._mix = min(self._step * _FASTER, _LONGEST_STEP), self._mix * _LESS_MIX


def _read_forces(context: openmm.Context, positions: np.ndarray, evaluation: int) -> np.ndarray:
    context.setPositions(positions)
    forces = np.asarray(context.getState(forces=True).getForces(asNumpy=True)._value)
    if not np.isfinite(forces).all():
        atom = int(np.flatnonzero(~np.isfinite(forces).all(axis=1))[0])
        raise UnstableRun(
            f"the force on atom {atom} is not finite in evaluation {evaluation} of the minimisation: "
            "atoms may lie on top of each other; check the structure"
        )
    return forces
