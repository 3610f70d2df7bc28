"""What must not change a prediction: the images chosen, the order of atoms, the origin, another system beside it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from oracles.agreement import FLOAT64, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS, Structure

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.potential import NumpyPrediction, Potential

# Only the width is reduced: five layers, all harmonics and the published cutoff are kept.
NARROW = Architecture(latent_dim=32, mlp_hidden_dim=48, head_hidden_dim=32)
PERIODIC = [name for name in MAKERS if name != "molecule"]


@pytest.fixture(scope="module", params=["orb-v3-direct-inf-omat", "orb-v3-conservative-20-omat"])
def model(request: pytest.FixtureRequest) -> Potential:
    direct = "direct" in request.param
    return make_random_potential(request.param, architecture=replace(NARROW, has_stress_head=direct))


def predict(model: Potential, structure: Structure) -> NumpyPrediction:
    return model.predict(structure.atomic_numbers, structure.positions, structure.cell)


@pytest.mark.parametrize("name", PERIODIC)
def test_an_atom_moved_by_whole_cells_changes_nothing(model: Potential, name: str) -> None:
    structure = MAKERS[name]()
    cells = np.random.default_rng(1).integers(-3, 4, size=(len(structure), 3))
    assert list_disagreements(predict(model, structure.shifted(cells)), predict(model, structure), FLOAT64) == {}


def test_an_atom_moved_by_less_than_a_cell_is_noticed(model: Potential) -> None:
    structure = MAKERS["water_sheared"]()
    moved = structure.shifted(np.eye(len(structure), 3) * 0.001)
    assert list_disagreements(predict(model, moved), predict(model, structure), FLOAT64).keys() >= {"energy", "forces"}


@pytest.mark.parametrize("name", MAKERS)
def test_the_order_of_atoms_changes_the_order_of_forces_alone(model: Potential, name: str) -> None:
    structure = MAKERS[name]()
    order = np.random.default_rng(2).permutation(len(structure))
    expected = predict(model, structure)
    expected = replace(expected, forces=expected.forces[order], confidence=expected.confidence[order])
    assert list_disagreements(predict(model, structure.permuted(order)), expected, FLOAT64) == {}


@pytest.mark.parametrize("name", MAKERS)
def test_the_origin_changes_nothing(model: Potential, name: str) -> None:
    structure = MAKERS[name]()
    elsewhere = replace(structure, positions=structure.positions + [11.3, -7.7, 2.9])
    assert list_disagreements(predict(model, elsewhere), predict(model, structure), FLOAT64) == {}


@pytest.mark.parametrize("axes", [(0,), (1, 2)], ids=["one_axis", "two_axes"])
def test_a_larger_cell_of_the_same_crystal_has_the_same_energy_per_atom(axes: tuple[int, ...]) -> None:
    """For summed repulsion only: a mean over atoms, as the published conservative models have it, is not extensive."""
    model = make_random_potential("orb-v3-direct-inf-omat", architecture=NARROW)
    structure = MAKERS["two_atom_cell"]()
    expected = predict(model, structure)
    found = predict(model, double_cell(structure, axes))
    copies = 2 ** len(axes)
    assert found.energy / copies == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(found.forces, np.tile(expected.forces, (copies, 1)), atol=1e-9)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-9)


def test_two_systems_in_a_batch_are_predicted_as_each_alone(model: Potential) -> None:
    structures = [MAKERS["water_cube"](), MAKERS["two_atom_cell"]()]
    graphs = [make_graph(model, structure) for structure in structures]
    with torch.no_grad():
        together = model.network(join_graphs(graphs), model.network.available_outputs)
    for index, structure in enumerate(structures):
        atoms = slice(None, len(structures[0])) if index == 0 else slice(len(structures[0]), None)
        single = NumpyPrediction(
            energy=together.energy[index].item(),
            forces=together.forces[atoms].numpy(),
            stress=together.stress[index].numpy(),
            confidence=together.confidence[atoms].numpy(),
        )
        assert list_disagreements(single, predict(model, structure), FLOAT64) == {}


def test_direct_forces_have_no_net_force_and_a_molecule_no_net_torque() -> None:
    structure = MAKERS["molecule"]()
    model = make_direct_with_mean_force()
    forces = predict(model, structure).forces
    arms = structure.positions - structure.positions.mean(axis=0)
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cross(arms, forces).sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("oddity", ["subtracts_mean_force", "removes_net_torque"])
def test_without_the_oddities_there_is_a_net_force_or_torque(oddity: str) -> None:
    structure = MAKERS["molecule"]()
    forces = predict(make_direct_with_mean_force(**{oddity: False}), structure).forces
    arms = structure.positions - structure.positions.mean(axis=0)
    assert max(np.abs(forces.sum(axis=0)).max(), np.abs(np.cross(arms, forces).sum(axis=0)).max()) > 0.1


def make_direct_with_mean_force(**oddities: bool) -> Potential:
    """A direct model whose force statistics have a mean, which must not show as a net force (orb-models 0.7.0)."""
    model = make_random_potential("orb-v3-direct-inf-omat", architecture=NARROW, oddities=Oddities(**oddities))
    model.network.heads["forces"].normalizer.bn.running_mean.fill_(0.7)
    return model


def double_cell(structure: Structure, axes: tuple[int, ...]) -> Structure:
    """The same crystal in a cell twice as long along each of the axes."""
    for axis in axes:
        cell = structure.cell.copy()
        cell[axis] *= 2
        positions = np.concatenate([structure.positions, structure.positions + structure.cell[axis]])
        structure = Structure(structure.name, np.tile(structure.atomic_numbers, 2), positions, cell)
    return structure


def make_graph(model: Potential, structure: Structure) -> AtomGraph:
    positions, cell = torch.from_numpy(structure.positions), torch.from_numpy(structure.cell)
    composition = model.compose(structure.atomic_numbers)
    return model.make_graph(composition, positions, cell, model.find_edges(positions, cell))


def join_graphs(graphs: list[AtomGraph]) -> AtomGraph:
    """Several graphs as one: indices of atoms and systems go on counting, everything else is put end to end."""
    joined = {}
    atoms = torch.tensor([0, *(len(graph.positions) for graph in graphs)]).cumsum(0)
    starts = {"senders": atoms, "receivers": atoms, "system": torch.arange(len(graphs))}
    for field in fields(AtomGraph):
        parts = [getattr(graph, field.name) for graph in graphs]
        if field.name in starts:
            parts = [part + start for part, start in zip(parts, starts[field.name], strict=False)]
        joined[field.name] = None if parts[0] is None else torch.cat(parts)
    return AtomGraph(**joined)
