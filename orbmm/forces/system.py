"""Create a System whose only forces are those of the network."""

from __future__ import annotations

import openmm
from openmm import app

from orbmm.forces.attach import attach_force
from orbmm.settings.model import ModelSettings


def create_system(topology: app.Topology, model: ModelSettings) -> openmm.System:
    """Create a System with the masses and the box of a topology, the network's forces and a CMMotionRemover.

    No bond is constrained, because the network describes bond vibrations. Raises the errors of attach_force.
    """
    system = openmm.System()
    box = topology.getPeriodicBoxVectors()
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box)
    for atom in topology.atoms():
        system.addParticle(atom.element.mass if atom.element is not None else 0.0)
    attach_force(system, topology, model)
    system.addForce(openmm.CMMotionRemover())
    return system
