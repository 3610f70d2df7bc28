"""Charge and multiplicity on their way to the network: through every force kind, whole and subset, and not swapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import openmm
import pytest
from oracles.random_weights import randomize_state_dict
from safetensors.torch import save_file

from orbmm.checkpoints import catalog
from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError
from orbmm.forces.attach import attach_force, create_system
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.model.load import load_model, make_network
from orbmm.settings.model import ModelSettings

KJ_PER_MOL_PER_EV = 96.48533212331  # CODATA 2018
ENERGY_TOLERANCE = 1e-6  # kJ/mol of about 10,000: float64 rounding and the tenth digit of the conversion factor
FORCE_TOLERANCE = 1e-6  # kJ/mol/nm of some hundreds
STATES = ((2, 3), (-1, 2), (0, 1))  # charge, multiplicity
OTHER_STATES = {"charge + 2": (4, 3), "another multiplicity": (2, 1), "the two swapped": (3, 2)}  # than the first
SUBSET = [9, 11, 10, 3, 4, 5, 23]
SMALL = Architecture(
    latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=2, charge_and_spin=True, has_stress_head=False
)


@pytest.fixture(scope="module", params=("direct", "conservative"))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSettings]:
    """A small omol network with random weights, which the catalogue knows as long as this module runs."""
    published = catalog.find_record(f"orb-v3-{request.param}-omol")
    record = replace(published, name=f"orb-small-{request.param}-omol", aliases=(), architecture=SMALL)
    # Reference energies of binding, not of all electrons: those would hide the rest behind a million kJ/mol.
    tensors = randomize_state_dict(make_network(record).state_dict(), seed=3, omol=False)
    weights = tmp_path_factory.mktemp("omol") / f"{record.name}.safetensors"
    save_file(tensors, weights)
    records, default = catalog._read_catalog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_read_catalog", lambda: ((*records, record), default))
        yield ModelSettings(name=record.name, weights=weights, precision="float64", device="cpu")
    forget_evaluators()


def predict(water, model: ModelSettings, state: tuple[int, int], atoms: list[int]) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces [kJ/mol/nm] without OpenMM; zero on atoms that the network does not see."""
    potential = load_model(model.name, weights=model.weights, device="cpu", precision=model.precision)
    cell = None if water.box is None else water.box * 10
    charge, multiplicity = state
    prediction = potential.predict(
        np.array(water.atomic_numbers)[atoms],
        water.positions[atoms] * 10,
        cell,
        charge=charge,
        multiplicity=multiplicity,
    )
    forces = np.zeros_like(water.positions)
    forces[atoms] = prediction.forces * KJ_PER_MOL_PER_EV * 10
    return prediction.energy * KJ_PER_MOL_PER_EV, forces


def attach(water, model: ModelSettings, kind: str, state: tuple[int, int], atoms: list[int] | None) -> openmm.System:
    """A System with the network on some atoms, or on all (None)."""
    settings = replace(model, force=kind, charge=state[0], multiplicity=state[1])
    if atoms is None:
        return create_system(water.topology, settings)
    system = openmm.System()
    for _ in water.positions:
        system.addParticle(1.0)
    if water.box is not None:
        system.setDefaultPeriodicBoxVectors(*water.box)
    attach_force(system, water.topology, settings, atoms)
    return system


@pytest.mark.parametrize("atoms", [None, SUBSET], ids=["whole", "subset"])
@pytest.mark.parametrize("box", ["open", "cube"])
@pytest.mark.parametrize("state", STATES)
def test_each_kind_gives_what_predict_gives_for_the_same_state(
    state, box, atoms, kind, model, make_water, compute
) -> None:
    water = make_water(box)
    energy, forces = compute(attach(water, model, kind, state, atoms), water.positions)
    expected_energy, expected_forces = predict(water, model, state, atoms or list(range(24)))
    assert energy == pytest.approx(expected_energy, rel=0, abs=ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FORCE_TOLERANCE
    assert np.abs(forces).max() > 10  # kJ/mol/nm: there is something to compare


@pytest.mark.parametrize("atoms", [None, SUBSET], ids=["whole", "subset"])
@pytest.mark.parametrize("other", OTHER_STATES.values(), ids=OTHER_STATES)
def test_another_state_gives_something_else(other, atoms, kind, model, make_water, compute) -> None:
    water = make_water("cube")
    energy, forces = compute(attach(water, model, kind, other, atoms), water.positions)
    expected_energy, expected_forces = predict(water, model, STATES[0], atoms or list(range(24)))
    assert abs(energy - expected_energy) > 1000 * ENERGY_TOLERANCE
    assert np.abs(forces - expected_forces).max() > 1000 * FORCE_TOLERANCE


def test_two_states_of_one_network_do_not_mix(kind, model, make_water, compute) -> None:
    water = make_water("cube")
    systems = {state: attach(water, model, kind, state, None) for state in STATES[:2]}
    for state in (*systems, *systems):
        energy, _ = compute(systems[state], water.positions)
        assert energy == pytest.approx(predict(water, model, state, list(range(24)))[0], rel=0, abs=ENERGY_TOLERANCE)


def test_a_state_that_the_electrons_do_not_allow_is_refused(kind, model, make_water) -> None:
    water = make_water("open")
    with pytest.raises(ModelError, match="charge \\+0 and multiplicity 2, but 80 electrons have an odd multiplicity"):
        attach(water, model, kind, (0, 2), None)
    attach(water, model, kind, (0, 0), None)  # not known
    attach(water, model, kind, (0, 2), [0])  # a part: an oxygen of a molecule that is cut


@pytest.mark.parametrize("missing", ["charge", "multiplicity"])
def test_one_of_the_two_alone_is_refused(missing, kind, model, make_water) -> None:
    settings = replace(model, force=kind, charge=2, multiplicity=3)
    with pytest.raises(ModelError, match=f"needs {missing}: "):
        create_system(make_water("cube").topology, replace(settings, **{missing: None}))
