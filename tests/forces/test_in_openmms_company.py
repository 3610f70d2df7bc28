"""The forces beside what else OpenMM offers: biased, tempered, ring-polymer, interpolated, on a GPU platform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from orbmm.doctor.self_test import try_force
from orbmm.errors import RunError
from orbmm.forces.attach import create_system
from orbmm.forces.kinds import find_platform_fault
from orbmm.settings.model import ModelSettings
from orbmm.simulation.system.platform import find_platform

MODEL = "orb-mini-conservative-inf-xtb"
ENERGY_TOLERANCE = 1e-6  # kJ/mol of about 700: float64 rounding
FORCE_TOLERANCE = 1e-6  # kJ/mol/nm
SINGLE_ENERGY, SINGLE_FORCE = 0.05, 0.5  # on a platform in single precision: coordinates are rounded to 1e-8 nm
KELVIN = 300.0
GAS_CONSTANT = 8.31446261815324e-3  # kJ/mol/K


@pytest.fixture
def model(random_weights: Callable[[str], Path], kind: str) -> ModelSettings:
    return ModelSettings(MODEL, weights=random_weights(MODEL), precision="float64", device="cpu", force=kind)


def read(context: openmm.Context, **options: object) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces (N, 3) [kJ/mol/nm] of a Context now."""
    state = context.getState(energy=True, forces=True, **options)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return energy, np.array(state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer))


def open_context(system: openmm.System, positions: np.ndarray, integrator: openmm.Integrator | None = None):
    """A Context on the Reference platform, which computes in float64."""
    integrator = integrator or openmm.VerletIntegrator(0.001)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    return context


def measure_bond(positions: np.ndarray) -> float:
    return float(np.linalg.norm(positions[1] - positions[0]))


def test_metadynamics_adds_its_hills_and_nothing_else(make_water, model, compute) -> None:
    """Energy and forces beside a hill are those of the network and of the Gaussian, written out by hand."""
    water, height, width, aside = make_water("cube"), 1.2, 0.01, 0.008  # kJ/mol, nm, nm
    system = create_system(water.topology, model)
    bond = openmm.CustomBondForce("r")
    bond.addBond(0, 1)
    variable = app.BiasVariable(bond, 0.05, 0.2, width, gridWidth=301)
    bias = app.Metadynamics(system, [variable], KELVIN, 5.0, height, 1)
    simulation = app.Simulation(
        water.topology, system, openmm.VerletIntegrator(1e-9), openmm.Platform.getPlatformByName("Reference")
    )
    simulation.context.setPositions(water.positions)
    alone = create_system(water.topology, model)
    assert read(simulation.context)[0] == pytest.approx(compute(alone, water.positions)[0], abs=ENERGY_TOLERANCE)
    bias.step(simulation, 1)
    assert bias.getCollectiveVariables(simulation)[0] == pytest.approx(measure_bond(water.positions), abs=1e-6)
    along = (water.positions[1] - water.positions[0]) / measure_bond(water.positions)
    moved = water.positions.copy()
    moved[1] += aside * along
    simulation.context.setPositions(moved)
    energy, forces = read(simulation.context)
    plain = compute(alone, moved)
    hill = height * np.exp(-0.5 * (aside / width) ** 2)
    pull = np.zeros_like(moved)
    pull[1] = hill * aside / width**2 * along  # down the hill
    pull[0] = -pull[1]
    # the grid is a spline of 0.0005 nm: a hill is right to a few parts in 1e3
    assert energy - plain[0] == pytest.approx(hill, rel=2e-3)
    np.testing.assert_allclose(forces - plain[1], pull, atol=5e-3 * np.abs(pull).max())
    assert energy - plain[0] != pytest.approx(height, rel=2e-3) and np.abs(pull).max() > 50.0


def test_a_collective_variable_scales_the_network(make_water, model, compute) -> None:
    water = make_water("sheared")
    inner = create_system(water.topology, model)
    (network,) = [force for force in inner.getForces() if force.getName() not in ("MoleculesOfTheNetwork",)][:1]
    outer = openmm.System()
    outer.setDefaultPeriodicBoxVectors(*water.box)
    for _ in water.positions:
        outer.addParticle(1.0)
    scaled = openmm.CustomCVForce("0.25*network + 3")
    scaled.addCollectiveVariable("network", openmm.XmlSerializer.clone(network))
    outer.addForce(scaled)
    energy, forces = compute(outer, water.positions)
    whole = compute(inner, water.positions)
    assert energy == pytest.approx(0.25 * whole[0] + 3.0, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(forces, 0.25 * whole[1], atol=FORCE_TOLERANCE)
    assert np.abs(forces - whole[1]).max() > 1.0


def test_each_bead_of_a_ring_polymer_gets_its_own_forces(make_water, model, compute) -> None:
    water = make_water("cube")
    system = create_system(water.topology, model)
    system = _without_centre_of_mass(system)
    integrator = openmm.RPMDIntegrator(3, KELVIN, 1.0, 0.0005)
    context = open_context(system, water.positions, integrator)
    beads = [water.positions + 0.002 * number for number in (0, 1, -2) for _ in (0,)]
    beads[1] = beads[1] + np.random.default_rng(4).normal(0, 0.002, water.positions.shape)
    for number, positions in enumerate(beads):
        integrator.setPositions(number, positions)
    found = []
    for number in range(3):
        state = integrator.getState(number, getEnergy=True, getForces=True)
        found.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        expected = compute(system, beads[number])
        assert found[-1] == pytest.approx(expected[0], abs=ENERGY_TOLERANCE)
        np.testing.assert_allclose(np.array(forces), expected[1], atol=FORCE_TOLERANCE)
    assert abs(found[1] - found[0]) > 1e-3, "another bead has another energy"
    integrator.step(2)
    assert np.isfinite(read(context)[0])


def _without_centre_of_mass(system: openmm.System) -> openmm.System:
    for index in reversed(range(system.getNumForces())):
        if isinstance(system.getForce(index), openmm.CMMotionRemover):
            system.removeForce(index)
    return system


@pytest.mark.parametrize("favoured", [0, 1])
def test_simulated_tempering_weighs_the_energy_of_the_network(favoured: int, make_water, model, compute) -> None:
    """The chance of each temperature is exp(weight - E / kT), with the energy that the network gives."""
    water = make_water("cube")
    system = create_system(water.topology, model)
    simulation = app.Simulation(
        water.topology,
        system,
        openmm.LangevinIntegrator(KELVIN, 1.0, 1e-9),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(water.positions)
    energy = compute(system, water.positions)[0]
    hot = 600.0
    cold_beta, hot_beta = (1 / (GAS_CONSTANT * kelvin) for kelvin in (KELVIN, hot))
    # the weight that makes both equally likely at this energy, and then one of them exp(30) times as likely
    weights = [0.0, (hot_beta - cold_beta) * energy + (30.0 if favoured else -30.0)]
    assert abs(weights[1]) > 60.0, "without the energy of the network the choice would be another"
    tempering = app.SimulatedTempering(
        simulation, temperatures=[KELVIN, hot] * unit.kelvin, weights=weights, tempChangeInterval=1, reportInterval=1000
    )
    for _ in range(3):
        tempering.step(1)
        assert tempering.currentTemperature == favoured


def test_several_contexts_at_once_do_not_disturb_each_other(make_water, model, compute) -> None:
    boxes = [make_water(box, seed=seed) for box, seed in (("cube", 1), ("sheared", 2), ("open", 3))]
    systems = [create_system(water.topology, model) for water in boxes]
    alone = [compute(system, water.positions) for system, water in zip(systems, boxes, strict=True)]
    contexts = [open_context(system, water.positions) for system, water in zip(systems, boxes, strict=True)]
    for _ in range(2):
        for context, expected in zip(reversed(contexts), reversed(alone), strict=True):
            energy, forces = read(context)
            assert energy == expected[0]
            np.testing.assert_array_equal(forces, expected[1])
    assert len({round(energy, 3) for energy, _ in alone}) == 3


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_an_interpolated_system_mixes_both_energies(fraction: float, make_water, model, compute) -> None:
    """createMixedSystem(interpolate=True): lambda goes from the force field of some atoms to the network."""
    from openmmml import MLPotential

    water = make_water("cube")
    atoms = [0, 1, 2]
    classical = _build_classical(water)
    options = {"precision": "float64", "device": "cpu", "force": model.force}
    potential = MLPotential(MODEL, weights=str(model.weights))
    mixed = potential.createMixedSystem(water.topology, classical, atoms, interpolate=True, **options)
    pure = potential.createMixedSystem(water.topology, classical, atoms, interpolate=False, **options)
    energies = [compute(system, water.positions)[0] for system in (classical, pure)]
    found, _ = compute(mixed, water.positions, lambda_interpolate=fraction)
    expected = (1 - fraction) * energies[0] + fraction * energies[1]
    assert found == pytest.approx(expected, abs=1e-4)  # OpenMM's force field keeps some constants to 1e-7
    assert abs(energies[1] - energies[0]) > 1.0


def _build_classical(water) -> openmm.System:
    field = app.ForceField("amber14/tip3pfb.xml")
    return field.createSystem(
        water.topology, nonbondedMethod=app.CutoffPeriodic, nonbondedCutoff=0.3, constraints=None, rigidWater=False
    )


# --- a GPU platform of OpenMM ----------------------------------------------------------------------------------------


@pytest.fixture
def opencl() -> str:
    """OpenMM's OpenCL platform, which PoCL runs on a processor; skipped where no OpenCL driver is installed."""
    names = [openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())]
    if "OpenCL" not in names:
        pytest.skip("OpenMM finds no OpenCL driver: install one, such as Debian's pocl-opencl-icd")
    return "OpenCL"


@pytest.fixture
def model_on_opencl(model: ModelSettings, opencl: str) -> ModelSettings:
    """The model with a force kind that runs there; TorchForce does not, with openmmtorch 1.5 beside OpenMM 8.5."""
    fault = find_platform_fault(opencl, model.force)
    if fault is not None:
        pytest.skip(fault)
    return model


@pytest.mark.extra
def test_a_kind_that_would_end_the_process_is_refused(make_water, model, opencl: str) -> None:
    system = create_system(make_water("cube").topology, model)
    assert find_platform(system, "auto") == "CPU", "a processor is faster by its own platform than through OpenCL"
    if find_platform_fault(opencl, model.force) is None:
        assert find_platform(system, opencl) == opencl
        return
    with pytest.raises(RunError, match="ends the process on the OpenCL platform"):
        find_platform(system, opencl)
    assert "ends the process" in try_force(model.force, opencl).seen


@pytest.mark.extra
def test_each_kind_runs_on_an_opencl_platform(make_water, model_on_opencl, compute, opencl: str) -> None:
    model, water = model_on_opencl, make_water("sheared")
    system = create_system(water.topology, model)
    energy, forces = compute(system, water.positions, opencl)
    expected = compute(system, water.positions)
    assert energy == pytest.approx(expected[0], abs=SINGLE_ENERGY)
    np.testing.assert_allclose(forces, expected[1], atol=SINGLE_FORCE)
    moved = compute(system, water.positions + np.eye(1, 3) * 0.01 * (np.arange(len(water.positions)) == 0)[:, None])
    assert np.abs(moved[1] - forces).max() > 10 * SINGLE_FORCE


@pytest.mark.extra
def test_dynamics_on_an_opencl_platform_are_those_of_the_reference(make_water, model_on_opencl, opencl: str) -> None:
    model, water, ends = model_on_opencl, make_water("cube"), []
    for name in (opencl, "Reference"):
        system = create_system(water.topology, model)
        context = openmm.Context(system, openmm.VerletIntegrator(0.0002), openmm.Platform.getPlatformByName(name))
        context.setPositions(water.positions)
        context.getIntegrator().step(5)
        ends.append(np.array(context.getState(positions=True).getPositions(asNumpy=True)._value))
    # 5 steps of single precision
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)
    assert np.abs(ends[1] - water.positions).max() > 1e-4


# --- PLUMED ----------------------------------------------------------------------------------------------------------


@pytest.mark.extra
def test_plumed_restrains_beside_the_network(make_water, model, compute) -> None:
    plumed = pytest.importorskip("openmmplumed", reason="openmm-plumed has no package on PyPI; conda-forge has one")
    water = make_water("cube")
    system = create_system(water.topology, model)
    plain = compute(system, water.positions)
    length = measure_bond(water.positions)
    system.addForce(plumed.PlumedForce("d: DISTANCE ATOMS=1,2\nRESTRAINT ARG=d AT=0.12 KAPPA=5000"))
    energy, _ = compute(system, water.positions)
    assert energy - plain[0] == pytest.approx(0.5 * 5000 * (length - 0.12) ** 2, rel=1e-4)
