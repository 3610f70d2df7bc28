"""Attach a network to a System: describe it, check it, choose the force kind, add the force."""

from __future__ import annotations

import dataclasses
import logging
import operator
from collections.abc import Callable, Iterable

import openmm
import torch
from openmm import app

from orbmm.errors import ModelError, StructureError
from orbmm.forces.box import has_placeholder_box, refuse_overfull_box
from orbmm.forces.description import Description, ForceDescription
from orbmm.forces.difference import FAST_GROUP, SLOW_GROUP
from orbmm.forces.dispersion_group import DISPERSION, choose_dispersion_group
from orbmm.forces.evaluator_cache import load_ahead
from orbmm.forces.kinds import ForceKind
from orbmm.forces.python_force import create_python_force
from orbmm.forces.resolve import ResolvedModel, resolve_model
from orbmm.forces.tuned import tune_execution
from orbmm.forces.versions import find_worker_thread, read_versions
from orbmm.model.composition import compose
from orbmm.preparation.elements import read_elements, refuse_impossible_multiplicity
from orbmm.settings.model import NO_DISPERSION, ModelSettings

_LOG = logging.getLogger(__name__)


NAME = "MoleculesOfTheNetwork"
DIFFERENCE_NAME = "DifferenceOfNetworks"
COPIES_NAME = "NetworkOfCopies"


def attach_force(
    system: openmm.System,
    topology: app.Topology,
    model: ModelSettings | ResolvedModel,
    atoms: Iterable[int] | None = None,
    force_group: int = 0,
) -> ForceKind:
    """Add the forces of a network to a System, and log one line with the force kind and the reason for it.

    atoms: the atoms that the network acts on, None for all atoms of the topology
    The force is periodic if the topology has a box or a force of the System uses one. Bonds of zero strength are added
    too, so that OpenMM knows the molecules. A dispersion that the settings name is another force, in another group.
    With a fast model it acts as often as the correction, in its group.
    The network is loaded here, so that invalid input raises before the first step; where OpenMM has yet to choose among
    several GPUs, its weights are only checked.
    Raises ModelError, CheckpointError, DeviceError, StructureError, SettingsError or ForceError.
    """
    given, model = model, resolve_model(model)
    if model.fast is not None:
        return _attach_split_force(system, topology, (model, model.fast), atoms, force_group)
    kind = model.kind
    periodic = has_usable_box(topology) or system.usesPeriodicBoundaryConditions()
    description = describe_force(topology, given, atoms, periodic)
    add_network(system, model, description, force_group)
    if model.settings.dispersion != NO_DISPERSION:
        _add_dispersion(system, model, description, choose_dispersion_group(force_group))
    mark_molecules(system, topology, description.atoms)
    return kind


def add_network(
    system: openmm.System, model: ResolvedModel, description: ForceDescription, force_group: int = 0
) -> None:
    """Load the network of a description and add its force to a System, and log the force kind and the reason for it."""
    kind = model.kind
    load_ahead(description.to_json(), model.device)
    force = _choose_creator(kind.name)(description)
    force.setForceGroup(force_group)
    if description.copies > 1:
        force.setName(COPIES_NAME)
    system.addForce(force)
    _LOG.info("%s acts through %s (%s): %s", description.model, kind.name, model.settings.force, kind.reason)
    if description.execution.compile:
        _LOG.info("%s is compiled at the first step, which takes a minute or more", description.model)
    hazard = find_worker_thread(read_versions())
    if hazard and kind.name == "PythonForce" and model.device.type == "cuda":
        _LOG.warning("%s", hazard)


def _attach_split_force(
    system: openmm.System,
    topology: app.Topology,
    models: tuple[ResolvedModel, ResolvedModel],
    atoms: Iterable[int] | None,
    force_group: int,
) -> ForceKind:
    """Add the fast network in FAST_GROUP, and the slow network less the fast one, as one force, in SLOW_GROUP.

    models: the slow and the fast one. The sum of both forces is that of the slow network. Its dispersion, if it has
    one, is in SLOW_GROUP too, so that an integrator that knows both groups leaves nothing out.
    Raises ModelError for another force group, and the errors of attach_force.
    """
    if force_group != FAST_GROUP:
        raise ModelError(
            f"with a fast model the forces are in groups {FAST_GROUP} and {SLOW_GROUP}, got {force_group}: "
            "leave out forceGroup"
        )
    slow, fast = models
    periodic = has_usable_box(topology) or system.usesPeriodicBoundaryConditions()
    chosen = None if atoms is None else read_indices(atoms)
    described = describe_force(topology, slow, chosen, periodic)
    kind = attach_force(system, topology, fast, chosen)
    difference = dataclasses.replace(described, fast=describe_force(topology, fast, chosen, periodic))
    load_ahead(difference.to_json(), slow.device)
    force = _choose_creator(kind.name)(difference)
    force.setForceGroup(SLOW_GROUP)
    force.setName(DIFFERENCE_NAME)
    system.addForce(force)
    if slow.settings.dispersion != NO_DISPERSION:
        _add_dispersion(system, slow, described, SLOW_GROUP)
    _LOG.info("%s corrects %s in every outer step, in force group %d", slow.record.name, fast.record.name, SLOW_GROUP)
    return kind


def _add_dispersion(system: openmm.System, model: ResolvedModel, network: ForceDescription, group: int) -> None:
    """Add the dispersion between the atoms of a network, as a force of its own in a group."""
    from orbmm.forces.dispersion import DispersionDescription  # loads Warp

    description = DispersionDescription.beside(network, model.settings.dispersion)
    load_ahead(description.to_json(), model.device)  # raises for elements that it does not know
    force = _choose_creator(model.kind.name)(description)
    force.setName(DISPERSION)
    force.setForceGroup(group)
    system.addForce(force)
    _LOG.info("%s acts in force group %d, beside the network", description.dispersion, group)


def has_usable_box(topology: app.Topology) -> bool:
    """Return True for a topology with a box, False without one or with a placeholder, which is logged.

    Raises StructureError for a box that cannot hold the atoms.
    """
    if has_placeholder_box(topology):
        _LOG.warning(
            "the box of 1 x 1 x 1 Å is a placeholder: the network sees no box; set one with setUnitCellDimensions"
        )
        return False
    refuse_overfull_box(topology, "the topology")
    return topology.getPeriodicBoxVectors() is not None


def describe_force(
    topology: app.Topology, model: ModelSettings | ResolvedModel, atoms: Iterable[int] | None, periodic: bool
) -> ForceDescription:
    """Return the description of a network on a topology; missing weights are downloaded after all other checks.

    model: if it is not resolved, what it leaves open is as measured; see orbmm.forces.tuned
    """
    is_decided, model = isinstance(model, ResolvedModel), resolve_model(model)
    settings, record = model.settings, model.record
    chosen = None if atoms is None else read_indices(atoms)
    numbers = read_atomic_numbers(topology, chosen)
    compose(record, numbers, torch.device("cpu"), settings.charge, settings.multiplicity)
    if chosen is None:  # a part of a molecule may have any number of electrons
        refuse_impossible_multiplicity(topology, settings.charge, settings.multiplicity)
    execution = model.execution if is_decided else tune_execution(model, numbers, periodic, topology)
    removes_torque = record.kind == "direct" and record.oddities.removes_net_torque
    if execution.cuda_graphs and removes_torque and not periodic:
        raise ModelError(f"{record.name} without a box cannot be recorded: remove cuda_graphs")
    return ForceDescription(
        model=record.load_name,
        weights_sha256=model.weights.sha256,
        precision=settings.precision,
        device=settings.device,
        atomic_numbers=numbers,
        atoms=chosen,
        periodic=periodic,
        charge=settings.charge,
        multiplicity=settings.multiplicity,
        execution=execution,
        first_contact=settings.first_contact,
    )


def read_indices(atoms: Iterable[int]) -> tuple[int, ...]:
    """Return the indices of atoms as whole numbers. Raises StructureError for anything else."""
    try:
        return tuple(operator.index(index) for index in atoms)
    except TypeError as error:
        raise StructureError("atoms must be the indices of atoms: whole numbers such as [0, 1, 2]") from error


def read_atomic_numbers(topology: app.Topology, atoms: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the atomic numbers of the chosen atoms (None: all), in that order.

    Raises StructureError for an empty choice, and for an atom that is chosen twice, does not exist or has no element.
    """
    listed = list(topology.atoms())
    chosen = tuple(range(len(listed))) if atoms is None else atoms
    if not chosen:
        raise StructureError("the network got no atoms: it needs at least one")
    if len(set(chosen)) < len(chosen):
        raise StructureError("some atoms are listed twice for the network: list each index once")
    outside = [index for index in chosen if not 0 <= index < len(listed)]
    if outside:
        raise StructureError(f"atom {outside[0]} does not exist: the topology has atoms 0 to {len(listed) - 1}")
    return read_elements(listed[index] for index in chosen)


def holds_copies(system: openmm.System) -> bool:
    """Return True for a System of orbmm.forces.replicas with several copies."""
    return any(force.getName() == COPIES_NAME for force in system.getForces())


def _choose_creator(kind: str) -> Callable[[Description], openmm.Force]:
    """Return the function that creates a force of this kind; openmmtorch is imported only if it is used."""
    if kind == "TorchForce":
        from orbmm.forces.torch_force import create_torch_force

        return create_torch_force
    return create_python_force


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


def create_system(topology: app.Topology, model: ModelSettings | ResolvedModel) -> openmm.System:
    """Create a System with the masses and the box of a topology, the network's forces and a CMMotionRemover.

    No bond is constrained, because the network describes bond vibrations. Raises the errors of attach_force.
    """
    system = create_particles(topology)
    attach_force(system, topology, model)
    system.addForce(openmm.CMMotionRemover())
    return system


def create_particles(topology: app.Topology) -> openmm.System:
    """Create a System with the masses and the box of a topology, without forces."""
    system = openmm.System()
    box = topology.getPeriodicBoxVectors()
    if box is not None and not has_placeholder_box(topology):
        system.setDefaultPeriodicBoxVectors(*box)
    for atom in topology.atoms():
        system.addParticle(atom.element.mass if atom.element is not None else 0.0)
    return system
