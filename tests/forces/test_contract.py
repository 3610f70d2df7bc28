"""What every force kind must do: the numbers of Potential.predict, in OpenMM's units, on any platform."""

from __future__ import annotations

import numpy as np
import openmm
import pytest
import torch

from orbmm.forces.attach import attach_force, create_system
from orbmm.forces.evaluator_cache import count_networks, forget_evaluators
from orbmm.forces.resolve import find_openmm_card
from orbmm.forces.versions import find_worker_thread, read_versions
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings

CONSERVATIVE = "orb-mini-conservative-inf-xtb"
DIRECT = "orb-mini-direct-inf-xtb"
BOXES = ("open", "cube", "sheared", "dodecahedron")
KJ_PER_MOL_PER_EV = 96.48533212331  # CODATA 2018, typed in: the package's own factor is under test too

ENERGY_TOLERANCE = 1e-6  # kJ/mol of about 700: float64 rounding and the tenth digit of the conversion factor
FORCE_TOLERANCE = 1e-6  # kJ/mol/nm of a few hundred, likewise
FLOAT32_ENERGY_TOLERANCE = 1e-2  # kJ/mol: float32 keeps 6e-8 of intermediate sums
FLOAT32_FORCE_TOLERANCE = 1e-1  # kJ/mol/nm


def predict(water, model: ModelSettings, atoms=None):
    """Energy [kJ/mol] and forces [kJ/mol/nm] without OpenMM; zero on atoms that the network does not see."""
    chosen = np.arange(len(water.positions)) if atoms is None else np.array(atoms)
    potential = load_model(model.name, weights=model.weights, device="cpu", precision=model.precision)
    numbers = np.array(water.atomic_numbers)[chosen]
    cell = None if water.box is None else water.box * 10
    prediction = potential.predict(numbers, water.positions[chosen] * 10, cell)
    forces = np.zeros_like(water.positions)
    forces[chosen] = prediction.forces * KJ_PER_MOL_PER_EV * 10
    return prediction.energy * KJ_PER_MOL_PER_EV, forces


def empty_system(water) -> openmm.System:
    system = openmm.System()
    if water.box is not None:
        system.setDefaultPeriodicBoxVectors(*water.box)
    for _ in water.positions:
        system.addParticle(1.0)
    return system


@pytest.fixture(params=(CONSERVATIVE, DIRECT))
def model(request, random_weights) -> ModelSettings:
    return ModelSettings(name=request.param, weights=random_weights(request.param), precision="float64", device="cpu")


def with_kind(model: ModelSettings, kind: str) -> ModelSettings:
    return ModelSettings(**{**vars(model), "force": kind})


@pytest.mark.parametrize("box", BOXES)
def test_each_kind_gives_the_energy_and_forces_of_predict(box, kind, model, make_water, compute):
    water = make_water(box)
    energy, forces = compute(create_system(water.topology, with_kind(model, kind)), water.positions)
    expected_energy, expected_forces = predict(water, model)
    assert energy == pytest.approx(expected_energy, rel=0, abs=ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FORCE_TOLERANCE
    assert np.abs(forces).max() > 10  # kJ/mol/nm: there is something to compare


@pytest.mark.parametrize("box", BOXES)
def test_each_kind_acts_on_a_subset_alone_in_the_order_given(box, kind, model, make_water, compute):
    water, atoms = make_water(box), [9, 11, 10, 3, 4, 5, 23]
    system = empty_system(water)
    attach_force(system, water.topology, with_kind(model, kind), atoms, force_group=3)
    energy, forces = compute(system, water.positions)
    expected_energy, expected_forces = predict(water, model, atoms)
    assert energy == pytest.approx(expected_energy, rel=0, abs=ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FORCE_TOLERANCE
    assert system.getForce(0).getForceGroup() == 3
    assert not forces[[index for index in range(len(forces)) if index not in atoms]].any()


def test_a_subset_with_one_atom_less_gives_something_else(kind, model, make_water, compute):
    water = make_water("cube")
    system = empty_system(water)
    attach_force(system, water.topology, with_kind(model, kind), [9, 11, 10, 3, 4, 5])
    energy, forces = compute(system, water.positions)
    expected_energy, expected_forces = predict(water, model, [9, 11, 10, 3, 4, 5, 23])
    assert abs(energy - expected_energy) > 1000 * ENERGY_TOLERANCE
    assert np.abs(forces - expected_forces).max() > 1000 * FORCE_TOLERANCE


def test_a_displacement_of_a_tenth_of_a_picometre_shows(kind, model, make_water, compute):
    water = make_water("sheared")
    system = create_system(water.topology, with_kind(model, kind))
    expected_energy, expected_forces = predict(water, model)
    moved = water.positions.copy()
    moved[4, 1] += 1e-4
    energy, forces = compute(system, moved)
    assert abs(energy - expected_energy) > 100 * ENERGY_TOLERANCE
    assert np.abs(forces - expected_forces).max() > 100 * FORCE_TOLERANCE


@pytest.mark.parametrize("box", ("cube", "sheared", "dodecahedron"))
def test_whole_lattice_vectors_change_nothing(box, kind, model, make_water, compute):
    water = make_water(box)
    system = create_system(water.topology, with_kind(model, kind))
    energy, forces = compute(system, water.positions)
    multiples = np.random.default_rng(1).integers(-3, 4, water.positions.shape)
    moved_energy, moved_forces = compute(system, water.positions + multiples @ water.box)
    assert moved_energy == pytest.approx(energy, rel=0, abs=ENERGY_TOLERANCE)
    assert np.abs(moved_forces - forces).max() < FORCE_TOLERANCE


def test_the_box_of_the_context_counts_and_not_the_one_at_creation(kind, model, make_water):
    water = make_water("cube")
    system = create_system(water.topology, with_kind(model, kind))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(water.positions)
    before = context.getState(energy=True).getPotentialEnergy()._value
    context.setPeriodicBoxVectors(*(water.box * 1.02))
    after = context.getState(energy=True).getPotentialEnergy()._value
    expected, _ = predict(type(water)(water.topology, water.positions, water.box * 1.02), model)
    assert after == pytest.approx(expected, rel=0, abs=ENERGY_TOLERANCE)
    assert abs(after - before) > 1000 * ENERGY_TOLERANCE


def test_every_platform_that_is_present_gives_the_same(kind, model, make_water, compute):
    water = make_water("sheared")
    system = create_system(water.topology, with_kind(model, kind))
    reference_energy, reference_forces = compute(system, water.positions, "Reference")
    for index in range(openmm.Platform.getNumPlatforms()):
        platform = openmm.Platform.getPlatform(index).getName()
        single = platform not in ("Reference", "CPU")  # GPU platforms hand float32 coordinates over
        energy, forces = compute(system, water.positions, platform)
        tolerances = (FLOAT32_ENERGY_TOLERANCE, FLOAT32_FORCE_TOLERANCE) if single else (1e-6, 1e-4)
        assert energy == pytest.approx(reference_energy, rel=0, abs=tolerances[0]), platform
        assert np.abs(forces - reference_forces).max() < tolerances[1], platform


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_network_follows_the_coordinates(kind, random_weights, make_water, compute):
    water = make_water("sheared")
    options = {"name": CONSERVATIVE, "weights": random_weights(CONSERVATIVE), "force": kind}
    system = create_system(water.topology, ModelSettings(**options, precision="float32-highest"))
    if kind == "PythonForce" and find_worker_thread(read_versions()):
        with pytest.raises(openmm.OpenMMException, match="worker thread"):
            compute(system, water.positions, "CUDA")
        return
    energy, forces = compute(system, water.positions, "CUDA")
    expected_energy, expected_forces = predict(water, ModelSettings(**options, precision="float64"))
    assert energy == pytest.approx(expected_energy, rel=0, abs=FLOAT32_ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FLOAT32_FORCE_TOLERANCE


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_on_the_second_gpu_the_network_is_loaded_there_alone(require_force_kind, random_weights, make_water):
    require_force_kind("TorchForce")
    water, platform = make_water("sheared"), openmm.Platform.getPlatformByName("CUDA")
    model = ModelSettings(CONSERVATIVE, weights=random_weights(CONSERVATIVE), force="TorchForce")
    forget_evaluators()
    system = create_system(water.topology, model)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, {"DeviceIndex": "1"})
    context.setPositions(water.positions)
    context.getState(forces=True)
    assert count_networks() == 1 and torch.cuda.memory_allocated(0) == 0 < torch.cuda.memory_allocated(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_that_openmm_takes_is_the_one_of_its_contexts(random_weights, make_water):
    water, platform = make_water("sheared"), openmm.Platform.getPlatformByName("CUDA")
    model = ModelSettings(CONSERVATIVE, weights=random_weights(CONSERVATIVE), device="cpu")
    context = openmm.Context(create_system(water.topology, model), openmm.VerletIntegrator(0.001), platform)
    assert str(find_openmm_card()) == f"cuda:{platform.getPropertyValue(context, 'DeviceIndex')}"


def test_the_default_precision_is_close_to_float64(kind, model, make_water, compute):
    water = make_water("cube")
    single = ModelSettings(name=model.name, weights=model.weights, device="cpu", force=kind)
    energy, forces = compute(create_system(water.topology, single), water.positions)
    expected_energy, expected_forces = predict(water, model)
    assert energy == pytest.approx(expected_energy, rel=0, abs=FLOAT32_ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FLOAT32_FORCE_TOLERANCE
    assert np.abs(forces - expected_forces).max() > FORCE_TOLERANCE  # it is another arithmetic


def test_a_system_of_ours_has_masses_box_and_a_remover_and_no_constraint(make_water, model):
    water = make_water("dodecahedron")
    system = create_system(water.topology, model)
    masses = [system.getParticleMass(index)._value for index in range(system.getNumParticles())]
    assert masses == [atom.element.mass._value for atom in water.topology.atoms()]
    assert np.allclose([list(vector._value) for vector in system.getDefaultPeriodicBoxVectors()], water.box)
    assert system.usesPeriodicBoundaryConditions()
    assert isinstance(system.getForce(1), openmm.HarmonicBondForce)  # of zero strength: what a molecule is
    assert isinstance(system.getForce(2), openmm.CMMotionRemover)
    assert system.getNumForces() == 3 and system.getNumConstraints() == 0
