"""OpenMM knows the molecules of a network's System, and nothing else of it has changed by that."""

from __future__ import annotations

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.forces.attach import attach_force
from orbmm.settings.model import ModelSettings


def _attach(topology: app.Topology, atoms: range | None) -> openmm.System:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    attach_force(system, topology, ModelSettings(device="cpu", precision="float64"), atoms)
    return system


def _compute(system: openmm.System, positions: np.ndarray) -> tuple[list[tuple[int, ...]], float, np.ndarray]:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    forces = state.getForces(asNumpy=True)._value
    return [tuple(one) for one in context.getMolecules()], state.getPotentialEnergy()._value, forces


@pytest.mark.parametrize("atoms", [None, range(6)])
def test_openmm_finds_the_molecules_that_the_network_acts_on(make_water, atoms: range | None) -> None:
    water = make_water("cube")
    system = _attach(water.topology, atoms)
    molecules, energy, forces = _compute(system, water.positions)
    whole = (water.topology.getNumAtoms() if atoms is None else len(atoms)) // 3
    assert sum(len(one) == 3 for one in molecules) == whole
    system.removeForce(1)
    molecules, bare_energy, bare_forces = _compute(system, water.positions)
    assert all(len(one) == 1 for one in molecules)
    assert bare_energy == energy and np.array_equal(bare_forces, forces)
