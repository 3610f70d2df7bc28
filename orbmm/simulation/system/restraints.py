"""Restraint forces of a stage. They have no Context parameters."""

from __future__ import annotations

import numpy as np
import openmm
from openmm import unit

from orbmm.periodic import take_nearest
from orbmm.settings import RestraintSettings
from orbmm.simulation.start.selection import find_atom, select_atoms
from orbmm.simulation.start.structure import Structure


def make_restraint(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """Return the force of one [[stage.restraint]]; reference positions are those at the start of the run.

    Raises RunError for missing atoms.
    """
    if restraint.kind == "position":
        return _hold_positions(restraint, start)
    return _hold_pair(restraint, start)


def _hold_positions(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """Return a position restraint: k/2 max(0, d - free)², with d the distance of an atom from its start."""
    periodic = start.topology.getPeriodicBoxVectors() is not None
    square = "periodicdistance(x, y, z, x0, y0, z0)^2" if periodic else "(x-x0)^2 + (y-y0)^2 + (z-z0)^2"
    if restraint.distance_nm:
        square = (
            f"max(0, sqrt({square} + 1e-16) - {restraint.distance_nm!r})^2"  # the square root has no derivative at 0
        )
    force = openmm.CustomExternalForce(f"{0.5 * restraint.stiffness_kj_mol_nm2!r}*({square})")
    for name in ("x0", "y0", "z0"):
        force.addPerParticleParameter(name)
    for index in select_atoms(start.topology, restraint.atoms or "all"):
        force.addParticle(int(index), start.positions[index])
    return force


def _hold_pair(restraint: RestraintSettings, start: Structure) -> openmm.Force:
    """Return a distance restraint, k/2 (r - target)², or a cap, k/2 max(0, r - target)², of two atoms."""
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
    """Return the distance of two atoms at the start, between nearest images [nm]."""
    vector = start.positions[other] - start.positions[one]
    vectors = start.topology.getPeriodicBoxVectors()
    if vectors is not None:
        box = np.array(vectors.value_in_unit(unit.nanometer))
        vector = take_nearest(vector, box)
    return float(np.linalg.norm(vector))
