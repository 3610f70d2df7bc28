"""Two networks on one System: the fast one in group 0, the difference in group 1, and no evaluation too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import openmm
import pytest
from openmm import unit
from openmmml import MLPotential

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import ForceError, ModelError
from orbmm.forces.attach import attach_force, create_system
from orbmm.forces.description import ForceDescription
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.resolve import check_pair
from orbmm.settings.model import ModelSettings

SLOW, FAST = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
INNER = 4
# kJ/mol and kJ/mol/nm: sums and differences of some 1e5 and 1e3 in float64
ENERGY_TOLERANCE, FORCE_TOLERANCE = 1e-9, 1e-10


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each network was really evaluated."""
    counts: Counter[str] = Counter()
    predict = Evaluator._predict

    def count(self: Evaluator, *given: object):
        counts[self.potential.record.name] += 1
        return predict(self, *given)

    monkeypatch.setattr(Evaluator, "_predict", count)
    return counts


def make_model(kind: str = "auto", **changes: object) -> ModelSettings:
    return ModelSettings(
        **{"name": SLOW, "fast": FAST, "precision": "float64", "device": "cpu", "force": kind, **changes}
    )


def open_context(system: openmm.System, integrator: openmm.Integrator, positions: np.ndarray) -> openmm.Context:
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.setVelocitiesToTemperature(300.0, 3)
    return context


def read(context: openmm.Context, groups: set[int] | None = None) -> tuple[float, np.ndarray]:
    state = context.getState(energy=True, forces=True, **({} if groups is None else {"groups": groups}))
    return state.getPotentialEnergy()._value, np.array(state.getForces(asNumpy=True)._value)


def make_integrators() -> dict[str, openmm.CustomIntegrator]:
    groups = [(0, INNER), (1, 1)]
    langevin = openmm.MTSLangevinIntegrator(300 * unit.kelvin, 1 / unit.picosecond, 0.002 * unit.picoseconds, groups)
    return {"MTSIntegrator": openmm.MTSIntegrator(0.002, groups), "MTSLangevinIntegrator": langevin}


@pytest.mark.parametrize("box", ["open", "sheared"])
def test_all_groups_give_the_slow_network_and_group_0_the_fast_one(
    box: str, kind: str, make_water: Callable, compute: Callable
) -> None:
    water = make_water(box, molecules=4)
    system = create_system(water.topology, make_model(kind))
    text = openmm.XmlSerializer.serialize(system)
    slow, fast = (
        compute(create_system(water.topology, make_model(kind, name=name, fast=None)), water.positions)
        for name in (SLOW, FAST)
    )
    for each in (system, openmm.XmlSerializer.deserialize(text)):
        context = open_context(each, openmm.VerletIntegrator(0.001), water.positions)
        for groups, energy, forces in (
            (None, *slow),
            ({0}, *fast),
            ({1}, slow[0] - fast[0], slow[1] - fast[1]),
        ):
            found = read(context, groups)
            assert found[0] == pytest.approx(energy, abs=ENERGY_TOLERANCE)
            assert np.abs(found[1] - forces).max() < FORCE_TOLERANCE
    assert np.abs(slow[1] - fast[1]).max() > 1.0, "the two networks are not the same one"


def test_an_outer_step_costs_one_slow_evaluation_and_reading_its_energy_none(
    kind: str, make_water: Callable, counted: Counter[str]
) -> None:
    water = make_water("cube", molecules=4)
    system = create_system(water.topology, make_model(kind))
    for name, integrator in make_integrators().items():
        context = open_context(system, integrator, water.positions)
        integrator.step(1)
        counted.clear()
        for _ in range(3):
            integrator.step(1)
            context.getState(energy=True, forces=True)
        assert counted == {FAST: 3 * INNER, SLOW: 3}, name


def test_without_memory_it_would_cost_more(
    make_water: Callable, counted: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "_recall", Evaluator._predict)
    water = make_water("cube", molecules=4)
    integrator = make_integrators()["MTSIntegrator"]
    context = open_context(create_system(water.topology, make_model()), integrator, water.positions)
    integrator.step(1)
    counted.clear()
    integrator.step(1)
    context.getState(energy=True)
    assert counted[FAST] > INNER and counted[SLOW] > 1


def test_the_memory_is_of_these_very_coordinates_and_this_very_box(make_water: Callable, counted: Counter[str]) -> None:
    water = make_water("cube", molecules=4)
    system = create_system(water.topology, make_model())
    context = open_context(system, openmm.VerletIntegrator(0.001), water.positions)
    first = read(context)
    again = read(context)
    assert counted[SLOW] == 1 and again[0] == first[0] and np.array_equal(again[1], first[1])
    moved = water.positions.copy()
    moved[0, 0] += 1e-9
    context.setPositions(moved)
    assert read(context)[0] != first[0] and counted[SLOW] == 2
    context.setPeriodicBoxVectors(*(water.box * 1.001))
    assert read(context)[0] != first[0] and counted[SLOW] == 3
    context.setPeriodicBoxVectors(*water.box)
    context.setPositions(water.positions)
    assert read(context)[0] == first[0] and counted[SLOW] == 4


def test_a_minimisation_ends_where_that_of_the_slow_network_ends_each_time(make_water: Callable) -> None:
    """On one occasion a prototype of this split ended elsewhere; scripts/checks/soak_two_networks.py repeats it."""
    water = make_water("cube", molecules=4)

    def minimise(system: openmm.System) -> float:
        context = open_context(system, openmm.VerletIntegrator(0.001), water.positions)
        openmm.LocalEnergyMinimizer.minimize(context, 10.0, 3)
        return read(context)[0]

    split = create_system(water.topology, make_model())
    ends = {minimise(split) for _ in range(5)}
    assert len(ends) == 1
    alone = minimise(create_system(water.topology, make_model(fast=None)))
    assert ends.pop() == pytest.approx(alone, abs=1e-6)
    fast = minimise(create_system(water.topology, make_model(name=FAST, fast=None)))
    assert abs(fast - alone) > 1.0, "a minimisation of the fast network ends elsewhere"


def test_openmm_ml_takes_the_fast_model_and_only_group_0(make_water: Callable) -> None:
    water = make_water("cube", molecules=4)
    system = MLPotential(SLOW).createSystem(water.topology, fast=FAST)
    assert sorted(force.getForceGroup() for force in system.getForces()).count(1) == 1
    with pytest.raises(ModelError, match="in groups 0 and 1, got 3: leave out forceGroup"):
        attach_force(openmm.System(), water.topology, make_model(), force_group=3)
    with pytest.raises(ModelError, match="no model is called 'orb-mini-direct'"):
        MLPotential(SLOW).createSystem(water.topology, fast="orb-mini-direct")


def test_a_part_of_a_system_can_be_split_too(make_water: Callable) -> None:
    water = make_water("cube", molecules=4)
    chosen = range(6)
    forces = {}
    for fast in (FAST, None):
        system = openmm.System()
        system.setDefaultPeriodicBoxVectors(*water.box)
        for _ in water.positions:
            system.addParticle(1.0)
        attach_force(system, water.topology, make_model(fast=fast), chosen)
        forces[fast] = read(open_context(system, openmm.VerletIntegrator(0.001), water.positions))[1]
    assert np.abs(forces[FAST] - forces[None]).max() < FORCE_TOLERANCE and not forces[FAST][6:].any()


@pytest.mark.parametrize(
    ("slow", "fast", "complaint"),
    [
        (SLOW, SLOW, "take a conservative model with a direct one as fast"),
        (FAST, FAST, "take a conservative model with a direct one as fast"),
        ("orb-v3-conservative-inf-omat", FAST, "differ in their elements"),
        ("orb-v3-conservative-inf-omat", "orb-v3-direct-omol", "differ in their"),
        ("orb-v3-conservative-inf-omat", "orb-v3-direct-inf-mpa", "differ in their level of theory"),
    ],
)
def test_networks_of_different_energies_are_not_combined(slow: str, fast: str, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        check_pair(find_record(slow), find_record(fast))


def test_the_published_pair_of_one_training_set_is_combined() -> None:
    check_pair(find_record("orb-v3-conservative-inf-omat"), find_record("orb-v3-direct-inf-omat"))


def test_a_description_of_other_atoms_is_refused_as_the_fast_one() -> None:
    def describe(numbers: tuple[int, ...], fast: ForceDescription | None = None) -> ForceDescription:
        return ForceDescription(SLOW, "0" * 64, "float64", "cpu", numbers, None, True, fast=fast)

    whole = describe((8, 1, 1), describe((8, 1, 1)))
    assert ForceDescription.from_json(whole.to_json()) == whole
    for fast in (describe((8, 1)), whole):
        with pytest.raises(ForceError, match="the description of a force has fast = "):
            describe((8, 1, 1), fast)
