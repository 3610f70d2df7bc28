"""Copies of a system behind one force have the energies and forces of single predictions, and none sees another."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import openmm
import pytest
import torch
from forces.test_on_a_stand_in_gpu import are_close, describe, put
from openmm import app, unit
from oracles.stand_in_gpu.device import stand_in_gpu

from orbmm.errors import ModelError, OrbmmError, StructureError
from orbmm.forces.attach import create_system, describe_force
from orbmm.forces.evaluator import SKIN_ANGSTROM, Evaluator
from orbmm.forces.evaluator_cache import find_evaluator, forget_evaluators
from orbmm.forces.replicas import Replicas, create_replicas
from orbmm.graph.verlet import VerletList
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings
from orbmm.simulation.openmm_reporters.confidence import ConfidenceReporter
from orbmm.units import KJ_PER_MOL_NM_PER_EV_ANGSTROM, KJ_PER_MOL_PER_EV

DIRECT, CONSERVATIVE = NAMES = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
COPIES = 3
SAME = 1e-12  # of the largest component: float64 keeps 16 digits, and sums of a batch have another order
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def settings(name: str, kind: str = "auto", precision: str = "float64") -> ModelSettings:
    return ModelSettings(name, precision=precision, device="cpu", force=kind)


def shake(water, copies: int = COPIES, scale_nm: float = 0.01) -> np.ndarray:
    """Another conformation for each copy: (C, N, 3) [nm]."""
    return water.positions + np.random.default_rng(1).normal(0, scale_nm, (copies, *water.positions.shape))


def open_context(system: openmm.System, positions: np.ndarray, integrator=None) -> openmm.Context:
    integrator = integrator or openmm.VerletIntegrator(0.0005)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPositions(positions.reshape(-1, 3))
    return context


def read(context: openmm.Context, copies: int = COPIES) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces (C, N, 3) [kJ/mol/nm]."""
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value.reshape(copies, -1, 3)


def predict(name: str, water, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (C,) [kJ/mol] and forces (C, N, 3) [kJ/mol/nm] of one prediction after the other."""
    model = load_model(name, device="cpu", precision="float64")
    cell = None if water.box is None else 10 * water.box
    found = [model.predict(water.atomic_numbers, 10 * frame, cell) for frame in frames]
    energies = np.array([each.energy for each in found]) * KJ_PER_MOL_PER_EV
    return energies, np.array([each.forces for each in found]) * KJ_PER_MOL_NM_PER_EV_ANGSTROM


def differ(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, relative to the largest component."""
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("box", ["open", "sheared"])
@pytest.mark.parametrize("name", NAMES)
def test_each_copy_has_the_numbers_of_a_single_prediction(name: str, box: str, kind: str, make_water) -> None:
    water = make_water(box)
    replicas, frames = create_replicas(water.topology, settings(name, kind), COPIES), shake(water)
    context = open_context(replicas.system, frames)
    energy, forces = read(context)
    energies, expected = predict(name, water, frames)
    assert differ(forces, expected) < SAME
    assert differ(replicas.compute_energies(context), energies) < SAME
    assert energy == pytest.approx(energies.sum(), rel=SAME)
    assert np.ptp(energies) > 1.0 and differ(forces[::-1], expected) > 1e-3


@pytest.mark.parametrize("box", ["open", "sheared"])
def test_copies_that_see_each_other_would_be_noticed(box: str, make_water, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: one search for the atoms of all copies."""
    water = make_water(box)
    forget_evaluators()
    replicas, frames = create_replicas(water.topology, settings(DIRECT), COPIES), shake(water)
    evaluator = find_evaluator(replicas.description, CPU)
    monkeypatch.setattr(evaluator._neighbors, "_systems", 1)
    assert differ(read(open_context(replicas.system, frames))[1], predict(DIRECT, water, frames)[1]) > 1e-2
    forget_evaluators()


def test_an_atom_that_moves_changes_the_forces_of_its_copy_alone(make_water) -> None:
    water = make_water("cube")
    frames = shake(water)
    context = open_context(create_replicas(water.topology, settings(CONSERVATIVE), COPIES).system, frames)
    before = read(context)[1]
    frames[1, 4] += 0.02
    context.setPositions(frames.reshape(-1, 3))
    after = read(context)[1]
    assert differ(after[[0, 2]], before[[0, 2]]) < SAME
    assert differ(after[1], before[1]) > 1e-3


def walk(water, steps: int) -> list[np.ndarray]:
    """Frames (C, N, 3) [nm] of small moves, then one atom of the last copy beyond the skin, into another cell too."""
    random, frames, moved = np.random.default_rng(2), shake(water, scale_nm=0.003), []
    for step in range(steps):
        frames = frames + random.normal(0, 0.001, frames.shape)
        frames[-1, :3] += 0.15 * SKIN_ANGSTROM if step == steps // 2 else 0.0
        moved.append(frames + (0 if water.box is None else water.box[step % 3]))
    return moved


def find_searches(water, frames: list[np.ndarray]) -> tuple[int, float]:
    """The number of searches along the frames, and the largest difference of the forces from single predictions."""
    forget_evaluators()
    replicas = create_replicas(water.topology, settings(DIRECT), COPIES)
    context = open_context(replicas.system, frames[0])
    worst = 0.0
    for frame in frames:
        context.setPositions(frame.reshape(-1, 3))
        worst = max(worst, differ(read(context)[1], predict(DIRECT, water, frame)[1]))
    evaluator = find_evaluator(replicas.description, CPU)
    assert isinstance(evaluator, Evaluator)
    return evaluator._neighbors.searches, worst


@pytest.mark.parametrize("box", ["open", "cube"])
def test_pairs_are_kept_until_an_atom_of_any_copy_leaves_the_skin(box: str, make_water) -> None:
    water = make_water(box)
    searches, worst = find_searches(water, walk(water, 8))
    assert 2 <= searches <= 4 and worst < SAME


def test_pairs_kept_too_long_would_be_noticed(make_water, monkeypatch: pytest.MonkeyPatch) -> None:
    water = make_water("cube")
    monkeypatch.setattr(VerletList, "_is_near", lambda *_: True)
    searches, worst = find_searches(water, [*walk(water, 2), shake(water, scale_nm=0.1)])
    assert searches == 1 and worst > 1e-6
    forget_evaluators()


def test_without_noise_each_copy_takes_the_path_of_a_system_of_its_own(make_water) -> None:
    water, steps = make_water("cube", molecules=4), 40
    frames = shake(water, scale_nm=0.004)

    def travel(system: openmm.System, positions: np.ndarray) -> np.ndarray:
        context = open_context(system, positions)
        context.setVelocities(4.0 * positions.reshape(-1, 3))  # nm/ps, such as no two copies share
        context.getIntegrator().step(steps)
        return context.getState(positions=True).getPositions(asNumpy=True)._value

    one = create_system(water.topology, settings(CONSERVATIVE))
    one.removeForce(one.getNumForces() - 1)  # CMMotionRemover
    together = travel(create_replicas(water.topology, settings(CONSERVATIVE), COPIES).system, frames)
    alone = np.concatenate([travel(one, frame) for frame in frames])
    assert np.abs(together - alone).max() < 1e-9  # nm: float64 rounding, grown over 40 steps
    assert np.abs(together - frames.reshape(-1, 3)).max() > 0.01


def test_each_copy_has_the_temperature_of_the_bath(make_water) -> None:
    water, copies = make_water("cube", molecules=4), 6
    replicas = create_replicas(water.topology, settings(CONSERVATIVE, precision="float32-high"), copies)
    integrator = openmm.LangevinMiddleIntegrator(300, 100.0, 0.0005)  # loses its memory within 20 steps
    integrator.setRandomNumberSeed(1)
    context = open_context(replicas.system, shake(water, copies, 0.003), integrator)
    context.setVelocitiesToTemperature(300, 1)
    masses = np.array([atom.element.mass._value for atom in water.topology.atoms()])[:, None]
    kelvin = []
    for _ in range(25):
        integrator.step(12)
        velocities = context.getState(velocities=True).getVelocities(asNumpy=True)._value.reshape(copies, -1, 3)
        kelvin.append((masses * velocities**2).sum(axis=(1, 2)) / (3 * len(masses)) / unit.MOLAR_GAS_CONSTANT_R._value)
    mean = 1000 * np.mean(kelvin[5:], axis=0)  # (C,); of 20 samples with 36 degrees of freedom the error is 5 to 7%
    assert np.abs(mean / 300 - 1).max() < 0.25 and np.ptp(mean) > 1.0


def test_the_topology_lists_the_copies_one_after_the_other(make_water) -> None:
    water = make_water("cube", molecules=2)
    replicas = create_replicas(water.topology, settings(DIRECT), COPIES)
    system, names = replicas.system, [atom.name for atom in water.topology.atoms()]
    assert [atom.name for atom in replicas.topology.atoms()] == COPIES * names
    bonds = {(one.index, other.index) for one, other in replicas.topology.bonds()}
    assert bonds == {
        (6 * copy + a, 6 * copy + b) for copy in range(COPIES) for a, b in [(0, 1), (0, 2), (3, 4), (3, 5)]
    }
    np.testing.assert_array_equal(replicas.topology.getPeriodicBoxVectors()._value, water.box)
    np.testing.assert_array_equal([row._value for row in system.getDefaultPeriodicBoxVectors()], water.box)
    assert system.getNumParticles() == COPIES * len(names) and system.getNumConstraints() == 0
    assert not any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
    written = io.StringIO()
    app.PDBFile.writeFile(replicas.topology, shake(water).reshape(-1, 3) * unit.nanometer, written)
    assert app.PDBFile(io.StringIO(written.getvalue())).topology.getNumAtoms() == COPIES * len(names)


def test_one_copy_is_the_force_of_a_plain_system(make_water) -> None:
    water = make_water("cube")
    plain = describe_force(water.topology, settings(DIRECT), None, periodic=True)
    assert create_replicas(water.topology, settings(DIRECT), 1).description == plain.to_json()


def test_a_saved_system_is_that_of_the_same_copies(kind: str, make_water) -> None:
    water = make_water("open", molecules=2)
    system, frames = create_replicas(water.topology, settings(DIRECT, kind), COPIES).system, shake(water)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    assert np.array_equal(read(open_context(again, frames))[1], read(open_context(system, frames))[1])


@pytest.mark.parametrize(
    ("name", "box", "recorded"),
    [(DIRECT, "sheared", True), (DIRECT, "open", False), (CONSERVATIVE, "open", True)],
)
def test_a_step_on_a_gpu_gives_the_numbers_of_the_cpu(name: str, box: str, recorded: bool, make_water) -> None:
    water = make_water(box)
    frames, execution = shake(water), Execution(edges_per_block=300, cuda_graphs=recorded)
    energies, forces = (torch.from_numpy(each) for each in predict(name, water, frames))
    with stand_in_gpu() as operators:
        description = describe(water, name, "cuda", execution=execution, copies=COPIES).to_json()
        placed = put(replace(water, positions=frames.reshape(-1, 3)), GPU)
        found = find_evaluator(description, GPU).evaluate(*placed)
        assert bool(operators.launched["replay"]) == recorded
        assert are_close(found, (energies.sum(), forces.reshape(-1, 3)))
        forget_evaluators()


@pytest.mark.parametrize("copies", [0, -1, True, 1.5, "2", None])
def test_fewer_than_one_copy_is_refused(copies: object, make_water) -> None:
    with pytest.raises(StructureError, match="copies must be a whole number of at least 1, got"):
        create_replicas(make_water().topology, DIRECT, copies)


def spoil_site(topology: app.Topology) -> None:
    topology.addAtom("M", None, list(topology.residues())[-1])


def shrink_box(topology: app.Topology) -> None:
    topology.setUnitCellDimensions(openmm.Vec3(0.3, 0.3, 0.3))


@pytest.mark.parametrize(
    ("spoil", "model", "sentence"),
    [
        (spoil_site, DIRECT, "has no element"),
        (shrink_box, DIRECT, "smaller than its molecules"),
        (None, "orb-v3-direct-omol", "needs charge and multiplicity"),
        (None, ModelSettings(DIRECT, charge=1, multiplicity=2), "takes no charge"),
        (None, ModelSettings(CONSERVATIVE, fast=DIRECT), "leave out fast and dispersion"),
        (None, ModelSettings(DIRECT, dispersion="d3bj-pbe"), "leave out fast and dispersion"),
    ],
)
def test_what_cannot_be_copied_is_refused(spoil: Callable | None, model, sentence: str, make_water) -> None:
    topology = make_water().topology
    if spoil is not None:
        spoil(topology)
    with pytest.raises(OrbmmError, match=sentence) as refused:
        create_replicas(topology, model, COPIES)
    assert "\n" not in str(refused.value)


def test_a_topology_without_atoms_is_refused() -> None:
    with pytest.raises(StructureError, match="the network got no atoms"):
        create_replicas(app.Topology(), DIRECT, COPIES)


def open_with_barostat(water, copies: int) -> openmm.Context:
    replicas = create_replicas(water.topology, settings(DIRECT, "PythonForce"), copies)
    replicas.system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    return open_context(replicas.system, shake(water, copies))


def test_a_barostat_is_refused_for_several_copies_only(make_water) -> None:
    with pytest.raises(openmm.OpenMMException, match="a barostat .* acts on all copies"):
        read(open_with_barostat(make_water(), COPIES))
    read(open_with_barostat(make_water(), 1), 1)


def report_confidence(replicas: Replicas, positions: np.ndarray, path, **atoms) -> None:
    simulation = app.Simulation(replicas.topology, replicas.system, openmm.VerletIntegrator(0.0001))
    simulation.context.setPositions(positions.reshape(-1, 3))
    simulation.reporters.append(ConfidenceReporter(path, 1, settings(DIRECT), **atoms))
    simulation.step(1)


def test_a_confidence_of_all_copies_as_one_system_is_refused(make_water, tmp_path) -> None:
    water = make_water("cube", molecules=4)
    replicas, frames = create_replicas(water.topology, settings(DIRECT), COPIES), shake(water)
    with pytest.raises(ModelError, match="the atoms of one copy"):
        report_confidence(replicas, frames, tmp_path / "all.dat")
    report_confidence(replicas, frames, tmp_path / "one.dat", atoms=range(12, 24))
    assert (tmp_path / "one.dat").stat().st_size > 0
