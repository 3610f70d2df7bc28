"""Check each frame before it is written, and stop the run at the first faulty one."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from openmm import app

from orbmm.errors import UnstableRun
from orbmm.settings import GuardSettings
from orbmm.simulation.dynamics.dynamics import Dynamics, describe_failure
from orbmm.simulation.dynamics.frame import Frame, start_state
from orbmm.simulation.guard.watches import BondWatch, ConfidenceWatch, HeatWatch
from orbmm.simulation.start.selection import name_atoms
from orbmm.simulation.start.structure import Structure

_REMEMBERED = 3


@dataclass
class Guard:
    """The limits of a stable run, its last good frames, and the faulty frame if there is one.

    bonds: None if reactions are allowed
    centre: None if the System does not keep the centre of mass at rest, or a barostat moves it
    confidence: None if expected errors are not checked
    """

    topology: app.Topology
    heat: HeatWatch
    force_limit: float
    bonds: BondWatch | None = None
    centre: CentreWatch | None = None
    confidence: ConfidenceWatch | None = None
    good: deque[Frame] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    fault: Frame | None = None

    def check(self, frame: Frame) -> None:
        """Raise UnstableRun, with the fault and its atoms, for a faulty frame; keep a good frame."""
        complaint = self._find_fault(frame)
        if complaint:
            self.fault = frame
            raise UnstableRun(describe_failure(frame.step, frame.time_ps, complaint))
        if self.good and self.good[-1].step == frame.step:  # checked again, now with its forces
            self.good.pop()
        self.good.append(frame)

    def _find_fault(self, frame: Frame) -> str | None:
        """Return a sentence about the most informative fault, or None.

        Order: values that are not finite, forces, bonds, temperature, drift, confidence.
        """
        return (
            self._find_infinite(frame)
            or self._find_large_force(frame)
            or (self.bonds and self.bonds.find_fault(frame.positions, frame.box))
            or self.heat.find_fault(frame)
            or (self.centre and self.centre.find_fault(frame.positions))
            or (self.confidence and frame.confidence and self.confidence.find_fault(frame.confidence))
            or None
        )

    def _find_infinite(self, frame: Frame) -> str | None:
        arrays = {"coordinates of": frame.positions, "velocities of": frame.velocities, "forces on": frame.forces}
        for what, values in arrays.items():
            wrong = np.flatnonzero(~np.isfinite(values).all(axis=1)) if values is not None else np.array([])
            if wrong.size:
                return f"the {what} {name_atoms(self.topology, wrong)} are not finite"
        if frame.potential_energy is not None and not math.isfinite(frame.potential_energy):
            return f"the potential energy is {frame.potential_energy}"
        return None

    def _find_large_force(self, frame: Frame) -> str | None:
        if frame.forces is None:
            return None
        squares = np.einsum("ij,ij->i", frame.forces, frame.forces)
        largest = int(np.argmax(squares))
        if squares[largest] <= self.force_limit**2:
            return None
        return (
            f"the force on {name_atoms(self.topology, [largest])} is {math.sqrt(squares[largest]):.0f} kJ/mol/nm, "
            f"above the limit of {self.force_limit:.0f}"
        )


class CentreWatch:
    """The check of the centre of mass, which the System keeps at rest."""

    def __init__(self, masses: np.ndarray, start: np.ndarray, limit_nm: float) -> None:
        """Compute the centre of mass at the start. masses: (N,) [g/mol]; start: positions (N, 3) [nm]"""
        self._weights = masses / masses.sum()
        self._start = self._weights @ start
        self._limit = limit_nm

    def find_fault(self, positions: np.ndarray) -> str | None:
        """Return a sentence about the drift of the centre, or None. positions: (N, 3), not wrapped [nm]"""
        distance = float(np.linalg.norm(self._weights @ positions - self._start))
        if distance <= self._limit:
            return None
        return (
            f"the whole system has drifted by {distance:.2f} nm, above the limit of {self._limit:g} nm: "
            "the forces on all atoms do not cancel"
        )


def make_guard(limits: GuardSettings, start: Structure, dynamics: Dynamics, mean_error: float | None = None) -> Guard:
    """Build the guard of a stage. It compares with the start of the run, also in a resumed run.

    mean_error: mean expected force error at the start [eV/Å]; None takes that of the first frame
    """
    stage, masses = dynamics.stage, dynamics.thermometer.masses
    bath = max(stage.temperature_kelvin, stage.start_temperature_kelvin)
    hottest = limits.temperature_limit_kelvin or 3.0 * bath + 300.0  # allows for the heat of a poor start
    box = start_state(start, masses).box
    watches_bonds = not limits.allow_reactions
    watches_centre = dynamics.thermometer.removes_drift and stage.pressure_bar is None
    return Guard(
        topology=start.topology,
        heat=HeatWatch(start.topology, dynamics.thermometer, bath, hottest),
        force_limit=limits.force_limit_kj_mol_nm,
        bonds=BondWatch(start.topology, start.positions, box, limits.bond_limit_factor) if watches_bonds else None,
        centre=CentreWatch(masses, start.positions, limits.drift_limit_nm) if watches_centre else None,
        confidence=ConfidenceWatch(start.topology, limits.confidence_limit_factor, mean_error),
    )
