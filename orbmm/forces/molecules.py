"""Bonds of zero strength, by which OpenMM knows what a molecule is: a network has no bonds to go by."""

from __future__ import annotations

from collections.abc import Iterable

import openmm
from openmm import app

NAME = "MoleculesOfTheNetwork"


def mark_molecules(system: openmm.System, topology: app.Topology, atoms: Iterable[int] | None = None) -> None:
    """Add the topology's bonds among these atoms (None: all) to a System, as springs that pull with no force.

    Without them a barostat scales the distances within a molecule too, since each atom is a molecule of its own
    (openmm-ml issue 91), and OpenMM wraps the atoms of a molecule one by one.
    """
    particles = frozenset(range(system.getNumParticles()))  # a network on others says so when it is evaluated
    chosen = particles if atoms is None else particles.intersection(atoms)
    force = openmm.HarmonicBondForce()
    force.setName(NAME)
    for one, other in topology.bonds():
        if one.index in chosen and other.index in chosen:
            force.addBond(one.index, other.index, 0.1, 0.0)
    if force.getNumBonds():
        system.addForce(force)
