"""Dynamics through a force: the kinds give one trajectory, contexts share a network, threads do not disturb it."""

from __future__ import annotations

import threading
from functools import cache, partial

import numpy as np
import openmm
import pytest
from openmm import unit

from orbmm.forces.attach import create_system
from orbmm.forces.evaluator_cache import count_networks, forget_evaluators
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.settings.model import ModelSettings

CONSERVATIVE = "orb-mini-conservative-inf-xtb"
KJ_PER_MOL_PER_EV = 96.48533212331  # CODATA 2018
STEPS = 200
SAME_PATH = 1e-7  # nm: float64 rounding, grown over 200 steps; different noise or forces give 1e-3 and more
TRAVELLED = 1e-3  # nm: what the atoms move at least meanwhile


@pytest.fixture(scope="module")
def run_langevin(random_weights, make_water):
    """Positions [nm] after 200 Langevin steps on the Reference platform, through a force kind or through "predict"."""
    water, weights = make_water("cube", molecules=4), random_weights(CONSERVATIVE)

    @cache
    def run(kind: str, seed: int) -> np.ndarray:
        model = ModelSettings(CONSERVATIVE, weights, "float64", "cpu", "auto" if kind == "predict" else kind)
        system = create_system(water.topology, model)
        if kind == "predict":
            system.removeForce(0)
            system.addForce(
                openmm.PythonForce(partial(predict, water, load_model(CONSERVATIVE, weights, "cpu", "float64")))
            )
        integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
        integrator.setRandomNumberSeed(seed)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(water.positions)
        context.setVelocitiesToTemperature(300, seed)
        integrator.step(STEPS)
        moved = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        assert np.abs(moved - water.positions).max() > TRAVELLED
        return moved

    return run


def predict(water, potential: Potential, state: openmm.State) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces [kJ/mol/nm] by the shortest way there is."""
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    prediction = potential.predict(water.atomic_numbers, positions, water.box * 10)
    return prediction.energy * KJ_PER_MOL_PER_EV, prediction.forces * KJ_PER_MOL_PER_EV * 10


def test_langevin_dynamics_is_the_same_through_every_kind(kind, run_langevin):
    assert np.abs(run_langevin(kind, 7) - run_langevin("predict", 7)).max() < SAME_PATH


def test_another_seed_gives_another_path(kind, run_langevin):
    assert np.abs(run_langevin(kind, 7) - run_langevin(kind, 8)).max() > 1000 * SAME_PATH


def test_forces_are_the_gradient_of_the_energy(kind, random_weights, make_water, compute):
    water = make_water("sheared")
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), "float64", "cpu", kind)
    system = create_system(water.topology, model)
    direction = np.random.default_rng(3).normal(size=water.positions.shape)
    step = 1e-5  # nm
    energies = {n: compute(system, water.positions + n * step * direction)[0] for n in (-2, -1, 1, 2)}
    _, forces = compute(system, water.positions)
    # Four points: the error of two, a third derivative, is large where a random network is steep.
    slope = -(8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * step)
    assert slope == pytest.approx((forces * direction).sum(), rel=1e-8)
    assert slope != pytest.approx((forces * direction).sum() * 1.000001, rel=1e-8)


def test_contexts_of_one_network_share_it(kind, random_weights, make_water, compute):
    forget_evaluators()
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), device="cpu", force=kind)
    whole, other = make_water("cube"), make_water("open", molecules=2)
    systems = [create_system(water.topology, model) for water in (whole, other)]
    for system, water in zip(systems, (whole, other), strict=True):
        compute(system, water.positions)
    assert count_networks() == 1


def test_two_threads_compute_what_one_does(kind, random_weights, make_water, compute):
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), "float64", "cpu", kind)
    waters = [make_water("cube", seed=seed) for seed in (1, 2)]
    system = create_system(waters[0].topology, model)
    expected = [compute(system, water.positions)[0] for water in waters]
    forget_evaluators()  # so that both threads want to load at once
    found: dict[int, list[float]] = {0: [], 1: []}

    def work(index: int) -> None:
        for _ in range(5):
            found[index].append(compute(system, waters[index].positions)[0])

    threads = [threading.Thread(target=work, args=(index,)) for index in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, energies in found.items():
        assert energies == pytest.approx([expected[index]] * 5, rel=1e-12)
    assert expected[0] != pytest.approx(expected[1], rel=1e-9)
