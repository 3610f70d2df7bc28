"""Replicas of a small system in one System: one force evaluates all copies as one batch, in which none sees another."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass

import numpy as np
import openmm
import torch
from openmm import app, unit

from orbmm.errors import ForceError, ModelError, StructureError
from orbmm.forces.attach import add_network, create_particles, describe_force, has_usable_box, mark_molecules
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.resolve import resolve_model
from orbmm.settings.model import NO_DISPERSION, ModelSettings

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Replicas:
    """Copies of a topology in one System. Particles and atoms are in the order of the copies.

    system: without constraints and CMMotionRemover; topology: that of all copies, for reporters; copies: their number
    description: of the force (JSON)
    """

    system: openmm.System
    topology: app.Topology
    copies: int
    description: str = dataclasses.field(repr=False)

    def compute_energies(self, context: openmm.Context) -> np.ndarray:
        """Return the potential energy of each copy, (C,) [kJ/mol], at the positions and in the box of a Context.

        It is that of the network, without other forces of the System, and costs one evaluation without forces.
        """
        evaluator = find_evaluator(self.description, _CPU)
        if not isinstance(evaluator, Evaluator):
            raise ForceError("the description is not that of a network: create the replicas again")
        state = context.getState(positions=True)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)
        return evaluator.find_energies(torch.from_numpy(positions), torch.from_numpy(box)).cpu().numpy()


def create_replicas(topology: app.Topology, model: str | ModelSettings, copies: int) -> Replicas:
    """Create a System of copies of a topology that do not see each other, with one force that evaluates all as a batch.

    topology: of one copy; all have its box, or none
    model: a name of the catalogue, or ModelSettings; charge and multiplicity are those of one copy
    copies: at least 1
    OpenMM gets the sum of their energies. No bond is constrained. There is no CMMotionRemover, because it would remove
    the motion of all copies together, not that of each.
    Raises StructureError for fewer than one copy, ModelError for a fast model or a dispersion, and the errors of
    attach_force.
    """
    copies = _read_copies(copies)
    settings = ModelSettings(model) if isinstance(model, str) else model
    if settings.fast is not None or settings.dispersion != NO_DISPERSION:
        raise ModelError("replicas take one network and nothing beside it: leave out fast and dispersion")
    resolved = resolve_model(settings)
    one = describe_force(topology, settings, None, has_usable_box(topology))
    description = dataclasses.replace(one, copies=copies)
    repeated = repeat_topology(topology, copies)
    system = create_particles(repeated)
    add_network(system, resolved, description)
    mark_molecules(system, repeated)
    return Replicas(system, repeated, copies, description.to_json())


def repeat_topology(topology: app.Topology, copies: int) -> app.Topology:
    """Return a Topology of copies, one after the other, in the same box; chains are numbered, as names must differ."""
    repeated = app.Topology()
    repeated.setPeriodicBoxVectors(topology.getPeriodicBoxVectors())
    for _ in range(copies):
        _append(repeated, topology)
    return repeated


def _append(repeated: app.Topology, topology: app.Topology) -> None:
    """Add the chains, residues, atoms and bonds of a topology to another."""
    atoms = {}
    for chain in topology.chains():
        new_chain = repeated.addChain()
        for residue in chain.residues():
            new_residue = repeated.addResidue(residue.name, new_chain, residue.id, residue.insertionCode)
            for atom in residue.atoms():
                charge = atom.formalCharge
                atoms[atom] = repeated.addAtom(atom.name, atom.element, new_residue, formalCharge=charge)
    for bond in topology.bonds():
        repeated.addBond(atoms[bond.atom1], atoms[bond.atom2], bond.type, bond.order)


def _read_copies(copies: int) -> int:
    """Return the number of copies. Raises StructureError unless it is a whole number of at least 1."""
    try:
        found = 0 if isinstance(copies, bool) else operator.index(copies)
    except TypeError:
        found = 0
    if found < 1:
        raise StructureError(f"copies must be a whole number of at least 1, got {copies!r}")
    return found
