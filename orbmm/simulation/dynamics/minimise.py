"""Minimisation of a structure with forces only."""

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
"""A structure is minimised if its largest force is below this [kJ/mol/nm]; thermal forces at 300 K are ten times it."""

_LARGEST_MOVE = 0.01  # nm per evaluation and coordinate
_FIRST_STEP = 0.0005
_LONGEST_STEP = 0.002  # below 2/omega of an O-H bond at unit mass, 0.003
_DELAY, _FASTER, _SLOWER, _FIRST_MIX, _LESS_MIX = 5, 1.1, 0.5, 0.1, 0.99


@dataclass(frozen=True)
class Relaxation:
    """The result of a minimisation. Forces: the largest on any atom [kJ/mol/nm], before and after.

    finished: not interrupted before its end
    """

    evaluations: int
    force_before: float
    force_after: float
    finished: bool = True


def minimise(
    context: openmm.Context,
    thermometer: Thermometer,
    most_evaluations: int,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Relaxation:
    """Minimise the Context's positions until the largest force is small or all evaluations are used.

    FIRE needs forces only. So it also works for direct models, whose forces are not the gradient of their energy: a
    line search on the energy stalls there. The positions with the smallest largest force are kept.
    is_interrupted: called after each evaluation; True ends the minimisation
    Raises UnstableRun if a force is not finite.
    Source: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
    """
    _LOG.info("minimising %d atoms in at most %d evaluations", len(thermometer.masses), most_evaluations)
    state = context.getState(positions=True)
    descent = _Descent(state.getPositions(asNumpy=True)._value, thermometer.masses > 0.0)
    before = best = np.inf
    best_positions, finished = descent.positions, True
    for evaluation in range(1, most_evaluations + 1):
        forces = _read_forces(context, descent.positions, evaluation)
        largest = float(np.linalg.norm(forces, axis=1).max())
        if evaluation == 1:
            before = largest
        if largest < best:
            best, best_positions = largest, descent.positions
        if largest < SMALL_FORCE:
            break
        if evaluation < most_evaluations and is_interrupted():
            finished = False
            break
        descent.move(forces)
    context.setPositions(best_positions)
    _LOG.info("relaxed: largest force %.0f -> %.0f kJ/mol/nm in %d evaluations", before, best, evaluation)
    return Relaxation(evaluation, before, best, finished)


class _Descent:
    """The state of FIRE: positions (N, 3) [nm], velocities at unit mass, time step and mixing weight."""

    def __init__(self, positions: np.ndarray, movable: np.ndarray) -> None:
        self.positions = positions
        self._movable = movable[:, None]
        self._velocity = np.zeros_like(positions)
        self._step = _FIRST_STEP
        self._mix = _FIRST_MIX
        self._downhill = 0

    def move(self, forces: np.ndarray) -> None:
        """Make one step with forces (N, 3) [kJ/mol/nm]."""
        forces = np.where(self._movable, forces, 0.0)
        if np.vdot(forces, self._velocity) > 0.0:
            self._steer(forces)
        elif self._velocity.any():
            self._velocity = np.zeros_like(self._velocity)
            self._step, self._mix, self._downhill = self._step * _SLOWER, _FIRST_MIX, 0
        self._velocity = self._velocity + self._step * forces
        self.positions = self.positions + np.clip(self._step * self._velocity, -_LARGEST_MOVE, _LARGEST_MOVE)

    def _steer(self, forces: np.ndarray) -> None:
        """Turn the velocity towards the force; after some steps downhill, increase the time step."""
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
