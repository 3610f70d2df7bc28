"""Add bonds of zero strength, so that OpenMM knows the molecules although a network has no bonds."""

from __future__ import annotations

from collections.abc import Iterable

import openmm
from openmm import app

NAME = "MoleculesOfTheNetwork"


def mark_molecules(system: openmm.System, topology: app.Topology, atoms: Iterable[int] | None = None) -> None:
    """Add the bonds of the topology among these atoms (None: all) to a System, with a force constant of zero.

    Without them OpenMM treats each atom as a molecule: a barostat then scales distances within molecules too (openmm-ml
    issue 91), and the atoms of a molecule are wrapped one by one.
    """
    particles = frozenset(range(system.getNumParticles()))  # an index beyond these raises when the network is evaluated
    chosen = particles if atoms is None else particles.intersection(atoms)
    force = openmm.HarmonicBondForce()
    force.setName(NAME)
    for one, other in topology.bonds():
        if one.index in chosen and other.index in chosen:
            force.addBond(one.index, other.index, 0.1, 0.0)
    if force.getNumBonds():
        system.addForce(force)
