"""D3(BJ) beside a network: a force with a group, the same through every force kind, and refused where it is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from oracles.random_weights import randomize_state_dict
from safetensors.torch import save_file

from orbmm.checkpoints import catalog
from orbmm.checkpoints.architecture import Architecture
from orbmm.dispersion.d3 import Dispersion
from orbmm.errors import ForceError, ModelError, SettingsError
from orbmm.forces.attach import attach_force, create_system
from orbmm.forces.dispersion import DispersionDescription
from orbmm.forces.dispersion_group import find_dispersion
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.forces.openmmml_plugin import OrbPotentialFactory
from orbmm.forces.resolve import resolve_model
from orbmm.model.load import make_network
from orbmm.settings.model import ModelSettings

KJ_PER_MOL_PER_EV = 96.48533212331  # CODATA 2018, typed in
ENERGY_TOLERANCE = 1e-4  # kJ/mol of about 10: the energy is float32 before the units
FORCE_TOLERANCE = 1e-3  # kJ/mol/nm of about 10, likewise
SUBSET = [9, 11, 10, 3, 4, 5, 23]
SMALL = Architecture(latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSettings]:
    """A small network of the PBE kind with random weights, which the catalogue knows as long as this module runs."""
    record = replace(
        catalog.find_record("orb-v3-conservative-inf-omat"), name="orb-small-omat", aliases=(), architecture=SMALL
    )
    weights = tmp_path_factory.mktemp("omat") / f"{record.name}.safetensors"
    save_file(randomize_state_dict(make_network(record).state_dict(), seed=3, omol=False), weights)
    records, default = catalog._read_catalog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_read_catalog", lambda: ((*records, record), default))
        yield ModelSettings(name=record.name, weights=weights, precision="float64", device="cpu", dispersion="d3bj-pbe")
    forget_evaluators()


def compute_alone(water, atoms: list[int]) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces [kJ/mol/nm] of the dispersion without OpenMM; zero on atoms outside."""
    numbers = tuple(np.array(water.atomic_numbers)[atoms].tolist())
    cell = None if water.box is None else torch.tensor(water.box * 10)
    result = Dispersion("d3bj-pbe", numbers, torch.device("cpu")).compute(
        torch.tensor(water.positions[atoms] * 10), cell
    )
    forces = np.zeros_like(water.positions)
    forces[atoms] = result.forces.numpy() * KJ_PER_MOL_PER_EV * 10
    return float(result.energy) * KJ_PER_MOL_PER_EV, forces


def read_groups(system: openmm.System, water, *groups: set[int]) -> list[tuple[float, np.ndarray]]:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(water.positions)
    states = [context.getState(energy=True, forces=True, groups=group) for group in groups]
    return [(state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value) for state in states]


@pytest.mark.parametrize("box", ("open", "cube", "dodecahedron"))
@pytest.mark.parametrize("atoms", (None, SUBSET))
def test_each_kind_adds_it_in_a_group_beside_the_network(box, atoms, kind, model, make_water) -> None:
    water = make_water(box)
    system = create_masses(water)
    attach_force(system, water.topology, replace(model, force=kind), atoms, force_group=3)
    assert find_dispersion(system).getForceGroup() == 4
    network, apart, both = read_groups(system, water, {3}, {4}, {3, 4})
    energy, forces = compute_alone(water, list(range(24)) if atoms is None else atoms)
    assert apart[0] == pytest.approx(energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(apart[1], forces, rtol=0.0, atol=FORCE_TOLERANCE)
    assert both[0] == pytest.approx(network[0] + apart[0], abs=1e-6)
    assert np.abs(forces).max() > 1e3 * FORCE_TOLERANCE


def create_masses(water) -> openmm.System:
    system = openmm.System()
    if water.box is not None:
        system.setDefaultPeriodicBoxVectors(*water.box)
    for _ in water.positions:
        system.addParticle(1.0)
    return system


def test_without_the_setting_there_is_no_dispersion(model, make_water) -> None:
    system = create_system(make_water("cube").topology, replace(model, dispersion="none"))
    assert find_dispersion(system) is None


def test_the_last_group_leaves_the_one_before(model, make_water) -> None:
    water = make_water("open", molecules=1)
    system = create_masses(water)
    attach_force(system, water.topology, model, force_group=31)
    assert find_dispersion(system).getForceGroup() == 30


def test_a_serialised_system_keeps_it(kind, model, make_water) -> None:
    water = make_water("cube")
    system = create_system(water.topology, replace(model, force=kind))
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    group = find_dispersion(system).getForceGroup()
    (before,), (after,) = (read_groups(each, water, {group}) for each in (system, again))
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])


def test_the_barostat_sees_it(model, make_water) -> None:
    water = make_water("cube")
    context = openmm.Context(create_system(water.topology, model), openmm.VerletIntegrator(0.001))
    energies = []
    for scale in (1.0, 1.03):
        context.setPeriodicBoxVectors(*(water.box * scale))
        context.setPositions(water.positions * scale)
        energies.append(context.getState(energy=True, groups={1}).getPotentialEnergy()._value)
    assert energies[1] > energies[0] + 100 * ENERGY_TOLERANCE  # less attraction in a larger box


@pytest.mark.parametrize(
    "name",
    ["orb-mini-conservative-inf-xtb", "orb-v3-direct-omol", "orb-v3-conservative-omol"],
)
def test_a_model_that_contains_dispersion_refuses_it(name) -> None:
    with pytest.raises(ModelError, match=f"{name} has dispersion already.*count it twice"):
        resolve_model(ModelSettings(name=name, dispersion="d3bj-pbe"))


def test_every_entry_of_the_catalogue_says_whether_it_has_dispersion() -> None:
    assert {record.dispersion.split(":")[0] for record in catalog.list_models()} == {"none", "contained"}


def test_an_unknown_functional_is_refused() -> None:
    with pytest.raises(SettingsError, match="d3bj-pbe"):
        ModelSettings(dispersion="d3-pbe0")


def test_createsystem_takes_the_keyword(model, make_water) -> None:
    water = make_water("open", molecules=2)
    system = create_masses(water)
    potential = OrbPotentialFactory().createImpl(model.name, weights=model.weights)
    potential.addForces(water.topology, system, None, 0, dispersion="d3bj-pbe", precision="float64")
    assert find_dispersion(system).getForceGroup() == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dispersion": "d4"}, "dispersion = 'd4'"),
        ({"atomic_numbers": ()}, "atomic_numbers"),
        ({"atoms": (0, 0)}, "atoms"),
        ({"periodic": 1}, "periodic"),
    ],
)
def test_an_impossible_description_is_refused(change, sentence) -> None:
    right = DispersionDescription("d3bj-pbe", "cpu", (8, 1), None, False, "auto")
    assert DispersionDescription.from_json(right.to_json()) == right
    with pytest.raises(ForceError, match=sentence):
        replace(right, **change)


def test_a_description_of_another_format_is_refused() -> None:
    text = DispersionDescription("d3bj-pbe", "cpu", (8, 1), None, False, "auto").to_json()
    with pytest.raises(ForceError, match="format 7.*reads format 1"):
        DispersionDescription.from_json(text.replace('"format":1', '"format":7'))


def test_dynamics_with_it_conserve_the_energy(model, make_water) -> None:
    """The dispersion alone moves argon: its forces are the derivative of its energy while pairs come and go."""
    topology = app.Topology()
    residue = topology.addResidue("AR", topology.addChain())
    for _ in range(8):
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), residue)
    topology.setPeriodicBoxVectors(np.eye(3) * 1.4 * unit.nanometer)
    system = create_system(topology, model)
    system.removeForce(0)  # the network
    context = openmm.Context(system, openmm.VerletIntegrator(0.004))
    corners = np.array([[i % 2, i // 2 % 2, i // 4] for i in range(8)]) * 0.7
    context.setPositions(corners + np.random.default_rng(1).normal(0.0, 0.02, corners.shape))
    context.setVelocitiesToTemperature(300.0 * unit.kelvin, 2)
    totals = []
    for _ in range(20):
        context.getIntegrator().step(25)
        state = context.getState(energy=True)
        totals.append((state.getPotentialEnergy() + state.getKineticEnergy())._value)
    assert np.ptp(totals) < 0.02  # kJ/mol of about 26 kinetic
