"""Restraint forces of a stage, which have no Context parameters, and heavier hydrogens."""

from __future__ import annotations

import numpy as np
import openmm
from openmm import app, unit

from orbmm.errors import RunError
from orbmm.geometry import take_nearest
from orbmm.settings import RestraintSettings
from orbmm.simulation.start.selection import find_atom, name_atoms, select_atoms
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


def shift_mass_to_hydrogens(topology: app.Topology, masses: np.ndarray, hydrogen_mass: float) -> np.ndarray:
    """Return masses (N,) [g/mol] with the same sum, in which each hydrogen has the given mass.

    Raises RunError for a hydrogen that has no bond to a heavier atom in the topology.
    """
    shifted = masses.copy()
    light = np.array([atom.element is app.element.hydrogen for atom in topology.atoms()])
    bonded = np.zeros(len(masses), dtype=bool)
    for one, other in topology.bonds():
        for hydrogen, heavy in ((one.index, other.index), (other.index, one.index)):
            if light[hydrogen] and not light[heavy] and not bonded[hydrogen]:
                shifted[heavy] -= hydrogen_mass - masses[hydrogen]
                shifted[hydrogen] = hydrogen_mass
                bonded[hydrogen] = True
    free = np.flatnonzero(light & ~bonded)
    if free.size:
        raise RunError(
            f"{name_atoms(topology, free)} cannot be made heavier: no bond of the structure joins "
            f"{'it' if free.size == 1 else 'them'} to a heavier atom; remove hydrogen_mass_amu"
        )
    return shifted
