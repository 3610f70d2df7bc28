"""Dispersion beside two networks: in the group of their difference, applied as rarely, and lost in no sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from oracles.random_weights import randomize_state_dict
from safetensors.torch import save_file

from orbmm.checkpoints import catalog
from orbmm.checkpoints.architecture import Architecture
from orbmm.dispersion.d3 import Dispersion
from orbmm.errors import ModelError
from orbmm.forces.attach import attach_force
from orbmm.forces.dispersion import DispersionEvaluator
from orbmm.forces.dispersion_group import DispersionMeter, find_dispersion
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.forces.openmmml_plugin import OrbPotentialFactory
from orbmm.forces.resolve import resolve_model
from orbmm.model.load import make_network
from orbmm.settings.model import ModelSettings

SLOW, FAST = "orb-small-conservative-omat", "orb-small-direct-omat"
SMALL = Architecture(latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=2)
KJ_PER_MOL_PER_EV = 96.48533212331  # CODATA 2018, typed in
ENERGY_TOLERANCE, FORCE_TOLERANCE = 1e-9, 1e-10  # kJ/mol and kJ/mol/nm: the same float64 numbers in another order
SUBSET = [9, 11, 10, 3, 4, 5, 23]
OUTER_PS, INNER, MASS = 0.001, 2, 16.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSettings]:
    """A small pair of the PBE kind with random weights, which the catalogue knows as long as this module runs."""
    folder, known = tmp_path_factory.mktemp("omat"), []
    for seed, name, like in ((3, SLOW, "orb-v3-conservative-inf-omat"), (4, FAST, "orb-v3-direct-inf-omat")):
        record = replace(catalog.find_record(like), name=name, aliases=(), architecture=SMALL, url=None, sha256=None)
        known.append(replace(record, file=str(folder / f"{name}.safetensors")))
        save_file(randomize_state_dict(make_network(record).state_dict(), seed=seed, omol=False), known[-1].file)
    records, default = catalog._read_catalog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_read_catalog", lambda: ((*records, *known), default))
        yield ModelSettings(name=SLOW, fast=FAST, precision="float64", device="cpu", dispersion="d3bj-pbe")
    forget_evaluators()


def build(water, model: ModelSettings, atoms: list[int] | None = None) -> openmm.System:
    system = openmm.System()
    if water.box is not None:
        system.setDefaultPeriodicBoxVectors(*water.box)
    for _ in water.positions:
        system.addParticle(MASS)
    attach_force(system, water.topology, model, atoms)
    return system


def read(system: openmm.System, positions: np.ndarray, groups: set[int], box: np.ndarray | None = None):
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    if box is not None:
        context.setPeriodicBoxVectors(*box)
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True, groups=groups)
    return state.getPotentialEnergy()._value, np.array(state.getForces(asNumpy=True)._value)


def compute_dispersion(water, positions: np.ndarray, box: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces [kJ/mol/nm] without OpenMM."""
    numbers, box = tuple(water.atomic_numbers), water.box if box is None else box
    cell = None if box is None else torch.tensor(box * 10)
    found = Dispersion("d3bj-pbe", numbers, torch.device("cpu")).compute(torch.tensor(positions * 10), cell)
    return float(found.energy) * KJ_PER_MOL_PER_EV, found.forces.numpy() * KJ_PER_MOL_PER_EV * 10


ALL = set(range(32))


@pytest.mark.parametrize("atoms", [None, SUBSET])
def test_the_sum_is_the_slow_network_with_its_dispersion_in_the_slow_group(
    atoms: list[int] | None, kind: str, model: ModelSettings, make_water: Callable
) -> None:
    water = make_water("cube")
    model = replace(model, force=kind)
    system = build(water, model, atoms)
    plain, fast, bare = (
        build(water, each, atoms)
        for each in (
            replace(model, fast=None),
            replace(model, name=FAST, fast=None, dispersion="none"),
            replace(model, fast=None, dispersion="none"),
        )
    )
    for positions, box in ((water.positions, water.box), (water.positions * 1.02, water.box * 1.02)):  # a barostat's
        both, direct, without = (read(each, positions, ALL, box) for each in (plain, fast, bare))
        for each in (system, openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))):
            for groups, energy, forces in (
                (ALL, *both),
                ({0}, *direct),
                ({1}, both[0] - direct[0], both[1] - direct[1]),
            ):
                found = read(each, positions, groups, box)
                assert found[0] == pytest.approx(energy, abs=ENERGY_TOLERANCE)
                assert np.abs(found[1] - forces).max() < FORCE_TOLERANCE
        assert abs(both[0] - without[0]) > 0.1 and np.abs(both[1] - without[1]).max() > 0.1


def test_the_meter_measures_it_alone(kind: str, model: ModelSettings, make_water: Callable) -> None:
    water = make_water("cube")
    system = build(water, replace(model, force=kind))
    meter = DispersionMeter(system, find_dispersion(system))
    for scale in (1.0, 1.02):
        positions, box = water.positions * scale, water.box * scale
        energy = compute_dispersion(water, positions, box)[0]
        assert meter.measure(positions, box) == pytest.approx(energy, rel=1e-6)
        assert abs(read(system, positions, {1}, box)[0] - energy) > 1.0, "the group holds more than the dispersion"


def test_on_a_cpu_the_meter_computes_nothing_again_where_the_run_just_was(
    kind: str, model: ModelSettings, make_water: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    water, asked = make_water("cube"), []
    predict = DispersionEvaluator._predict
    monkeypatch.setattr(DispersionEvaluator, "_predict", lambda *given: asked.append(given) or predict(*given))
    system = build(water, replace(model, force=kind))
    meter = DispersionMeter(system, find_dispersion(system))
    meter.measure(water.positions * 1.01, water.box)  # or another test was here last
    asked.clear()
    read(system, water.positions, ALL, water.box)
    known = meter.measure(water.positions, water.box)
    assert len(asked) == 1
    moved = water.positions.copy()
    moved[0, 0] = np.nextafter(moved[0, 0], np.inf)
    meter.measure(moved, water.box)
    meter.measure(moved, water.box * (1.0 + 1e-15))
    assert len(asked) == 3, "other coordinates and another box are computed, however near"
    assert meter.measure(water.positions, water.box) == known and len(asked) == 4


def integrate(water, steps: int, velocities: np.ndarray, read_fast: Callable, read_slow: Callable) -> np.ndarray:
    """The positions after some outer steps of velocity Verlet with slow kicks, written out (Tuckerman 1992)."""
    positions, inner = water.positions.copy(), OUTER_PS / INNER
    for _ in range(steps):
        velocities = velocities + 0.5 * OUTER_PS * read_slow(positions) / MASS
        for _ in range(INNER):
            velocities = velocities + 0.5 * inner * read_fast(positions) / MASS
            positions = positions + inner * velocities
            velocities = velocities + 0.5 * inner * read_fast(positions) / MASS
        velocities = velocities + 0.5 * OUTER_PS * read_slow(positions) / MASS
    return positions


@pytest.mark.parametrize("own_group", [False, True])  # the second is what docs/python.md says
def test_a_trajectory_is_that_of_an_integration_by_hand(
    own_group: bool, model: ModelSettings, make_water: Callable
) -> None:
    water, steps = make_water("cube"), 4
    velocities = np.random.default_rng(4).normal(0.0, 0.4, water.positions.shape)
    integrator = openmm.MTSIntegrator(OUTER_PS, [(0, INNER), (1, 1), *([(2, 1)] if own_group else [])])
    system = build(water, model)
    if own_group:
        find_dispersion(system).setForceGroup(2)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(water.positions)
    context.setVelocities(velocities)
    integrator.step(steps)
    found = context.getState(positions=True).getPositions(asNumpy=True)._value

    slow, fast = (build(water, replace(model, name=name, fast=None, dispersion="none")) for name in (SLOW, FAST))

    def read_fast(positions: np.ndarray) -> np.ndarray:
        return read(fast, positions, ALL)[1]

    def read_difference(positions: np.ndarray) -> np.ndarray:
        return read(slow, positions, ALL)[1] - read_fast(positions)

    def read_slow(positions: np.ndarray) -> np.ndarray:
        return read_difference(positions) + compute_dispersion(water, positions)[1]

    run = partial(integrate, water, steps, velocities, read_fast)
    assert np.abs(found - run(read_slow)).max() < 1e-9  # nm: the dispersion is float32 inside
    assert np.abs(found - run(read_difference)).max() > 1e-7, "without dispersion it ends elsewhere"


@pytest.mark.parametrize("langevin", [False, True])
def test_an_outer_step_costs_one_dispersion(
    langevin: bool, model: ModelSettings, make_water: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    predict = DispersionEvaluator._predict
    monkeypatch.setattr(
        DispersionEvaluator, "_predict", lambda self, *given: counts.update(dispersion=1) or predict(self, *given)
    )
    water, groups = make_water("cube"), [(0, INNER), (1, 1)]
    bath = (300.0 * unit.kelvin, 1.0 / unit.picosecond, OUTER_PS * unit.picosecond)
    integrator = openmm.MTSLangevinIntegrator(*bath, groups) if langevin else openmm.MTSIntegrator(OUTER_PS, groups)
    context = openmm.Context(build(water, model), integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(water.positions)
    integrator.step(1)
    counts.clear()
    integrator.step(3)
    assert counts["dispersion"] == 3


def test_openmm_ml_takes_both_keywords(model: ModelSettings, make_water: Callable) -> None:
    water, system = make_water("cube"), openmm.System()
    for _ in water.positions:
        system.addParticle(MASS)
    potential = OrbPotentialFactory().createImpl(SLOW)
    potential.addForces(water.topology, system, None, 0, fast=FAST, dispersion="d3bj-pbe")
    assert find_dispersion(system).getForceGroup() == 1
    assert {force.getForceGroup() for force in system.getForces()} == {0, 1}


def test_a_pair_that_contains_dispersion_refuses_it() -> None:
    pair = ModelSettings("orb-mini-conservative-inf-xtb", fast="orb-mini-direct-inf-xtb", dispersion="d3bj-pbe")
    with pytest.raises(ModelError, match="has dispersion already.*count it twice"):
        resolve_model(pair)
    assert resolve_model(replace(pair, dispersion="none")).fast is not None


def test_the_fast_network_has_no_dispersion_of_its_own(model: ModelSettings) -> None:
    assert resolve_model(model).fast.settings.dispersion == "none"
    assert resolve_model(model).settings.dispersion == "d3bj-pbe"
