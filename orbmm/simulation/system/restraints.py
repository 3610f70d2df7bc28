"""Forces that hold atoms while a stage lasts; they say how far they let go, and none of them has a Context parameter."""

from __future__ import annotations

import numpy as np
import openmm
from openmm import unit

from orbmm.settings import RestraintSettings
from orbmm.simulation.start.selection import find_atom, select_atoms
from orbmm.simulation.start.structure import Structure


def make_restraint(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """The force of one [[stage.restraint]]; atoms are held where the start of the run has them.

    Raises RunError for atoms that are not there.
    """
    if restraint.kind == "position":
        return _hold_positions(restraint, start)
    return _hold_pair(restraint, start)


def _hold_positions(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """k/2 times the square of how far an atom is from its place, less what it may move freely."""
    periodic = start.topology.getPeriodicBoxVectors() is not None
    square = "periodicdistance(x, y, z, x0, y0, z0)^2" if periodic else "(x-x0)^2 + (y-y0)^2 + (z-z0)^2"
    if restraint.distance_nm:
        square = f"max(0, sqrt({square} + 1e-16) - {restraint.distance_nm!r})^2"  # a square root has no slope at 0
    force = openmm.CustomExternalForce(f"{0.5 * restraint.stiffness_kj_mol_nm2!r}*({square})")
    for name in ("x0", "y0", "z0"):
        force.addPerParticleParameter(name)
    for index in select_atoms(start.topology, restraint.atoms or "all"):
        force.addParticle(int(index), start.positions[index])
    return force


def _hold_pair(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """k/2 times the square of how far the distance of two atoms is from what is wanted; a cap only pulls together."""
    one, other = (find_atom(start.topology, name) for name in restraint.between or ())
    distance = restraint.distance_nm
    if distance is None:
        distance = _measure_distance(start, one, other)
    stretch = f"(r - {distance!r})" if restraint.kind == "distance" else f"max(0, r - {distance!r})"
    force = openmm.CustomBondForce(f"{0.5 * restraint.stiffness_kj_mol_nm2!r}*{stretch}^2")
    force.setUsesPeriodicBoundaryConditions(start.topology.getPeriodicBoxVectors() is not None)
    force.addBond(one, other)
    return force


def _measure_distance(start: Structure, one: int, other: int) -> float:
    """Between nearest images at the start [nm]."""
    vector = start.positions[other] - start.positions[one]
    vectors = start.topology.getPeriodicBoxVectors()
    if vectors is not None:
        box = np.array(vectors.value_in_unit(unit.nanometer))
        vector = vector - np.round(vector @ np.linalg.inv(box)) @ box
    return float(np.linalg.norm(vector))
