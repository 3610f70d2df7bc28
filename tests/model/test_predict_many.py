"""Several structures in one evaluation: the numbers of single predictions, in the order that was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.agreement import FLOAT32, FLOAT64, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError, OrbmmError, StructureError
from orbmm.graph.verlet import VerletList
from orbmm.model.batch import Batch, Structure, gather_batches
from orbmm.model.load import load_model
from orbmm.model.network.atom_graph import join_systems
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import NumpyPrediction, Potential

# Only the width is reduced: five layers, all harmonics and the published cutoff are kept.
NARROW = Architecture(latent_dim=32, mlp_hidden_dim=48, head_hidden_dim=32)
MIXED = [MAKERS[name]() for name in ("molecule", "water_cube", "two_atom_cell", "molecule", "water_sheared")]
STRUCTURES = [(each.atomic_numbers, each.positions, each.cell) for each in MIXED]
ATOM = ([8], [[0.0, 0.0, 0.0]])  # without an edge
CHARGED = [(*STRUCTURES[0], -1, 2), (*STRUCTURES[0], 1, 2), (*STRUCTURES[1], 0, 1)]


@pytest.fixture(scope="module", params=["orb-v3-direct-inf-omat", "orb-v3-conservative-20-omat"])
def model(request: pytest.FixtureRequest) -> Potential:
    direct = "direct" in request.param
    return make_random_potential(request.param, architecture=replace(NARROW, has_stress_head=direct))


def predict_singly(model: Potential, structures: list[tuple]) -> list[NumpyPrediction]:
    return [model.predict(*structure) for structure in structures]


def find_differences(one: list[NumpyPrediction], other: list[NumpyPrediction]) -> list[dict[str, float]]:
    return [list_disagreements(*pair, FLOAT64) for pair in zip(one, other, strict=True)]


def count_evaluations(model: Potential, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of systems of each evaluation of the network."""
    counted: list[int] = []
    run = Potential.run

    def count(self: Potential, graph: object, outputs: frozenset[str]) -> Prediction:
        counted.append(len(graph.counts))
        return run(self, graph, outputs)

    monkeypatch.setattr(Potential, "run", count)
    return counted


@pytest.mark.parametrize("most_edges", [1, 3_000, 1_000_000])
def test_structures_of_any_kind_have_the_numbers_of_single_predictions(model: Potential, most_edges: int) -> None:
    found = model.predict_many(STRUCTURES, most_edges=most_edges)
    assert find_differences(found, predict_singly(model, STRUCTURES)) == [{}] * len(STRUCTURES)
    assert [each.stress is None for each in found] == [True, False, False, True, False]


def test_an_atom_without_an_edge_has_its_own_energy_and_no_force(model: Potential) -> None:
    found = model.predict_many([ATOM, STRUCTURES[0]])[0]
    assert found.energy == pytest.approx(model.predict(*ATOM).energy, abs=FLOAT64.energy)
    assert np.abs(found.forces).max() < 1e-12


def test_systems_that_see_each_other_are_noticed(model: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: edges of one system lead to atoms of the other."""

    def join_wrongly(batch: Batch) -> object:
        graph = join_systems(batch.graphs)
        return replace(graph, receivers=graph.receivers.roll(1))

    monkeypatch.setattr(Batch, "join", join_wrongly)
    found = model.predict_many(STRUCTURES)
    assert all(find_differences(found, predict_singly(model, STRUCTURES)))


def test_a_system_that_is_counted_with_another_is_noticed(model: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies come from the mean over the atoms of a system: with atoms of another one they are wrong."""

    def join_wrongly(batch: Batch) -> object:
        graph = join_systems(batch.graphs)
        return replace(graph, system=graph.system.roll(1))

    monkeypatch.setattr(Batch, "join", join_wrongly)
    periodic = [each for each in STRUCTURES if each[2] is not None]
    found = find_differences(model.predict_many(periodic), predict_singly(model, periodic))
    assert all("energy" in differences for differences in found)


@pytest.mark.parametrize("name", ["orb-v3-direct-omol", "orb-v3-conservative-omol"])
def test_each_structure_has_a_charge_of_its_own(name: str) -> None:
    model = make_random_potential(name, architecture=replace(NARROW, charge_and_spin=True, has_stress_head=False))
    found = model.predict_many(CHARGED)
    assert find_differences(found, predict_singly(model, CHARGED)) == [{}] * 3
    assert "energy" in list_disagreements(found[0], found[1], FLOAT64)


@pytest.mark.parametrize("name", ["orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb"])
def test_an_embedded_model_in_float32_has_the_numbers_of_single_predictions(
    name: str,
) -> None:
    model = load_model(name, device="cpu", precision="float32-highest")
    water = [(MAKERS["water_cube"]().atomic_numbers, MAKERS["water_cube"]().positions + shift) for shift in (0.0, 0.1)]
    periodic = [(*each, MAKERS["water_cube"]().cell) for each in water]
    found = model.predict_many([*water, *periodic])
    for pair in zip(found, predict_singly(model, [*water, *periodic]), strict=True):
        assert list_disagreements(*pair, FLOAT32) == {}


def test_one_evaluation_takes_as_many_systems_as_fit(model: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = count_evaluations(model, monkeypatch)
    model.predict_many([STRUCTURES[0]] * 5)
    assert counted == [5]
    edges = len(model.find_edges(torch.from_numpy(STRUCTURES[0][1]), None))
    model.predict_many([STRUCTURES[0]] * 5, most_edges=2 * edges)
    assert counted == [5, 2, 2, 1]
    model.predict_many([STRUCTURES[0]] * 2, most_edges=2 * edges - 1)
    assert counted == [5, 2, 2, 1, 1, 1]


def test_nothing_is_predicted_for_no_structure(model: Potential) -> None:
    assert model.predict_many([]) == []
    assert list(gather_batches([], 10)) == []


def test_a_fault_is_said_with_the_number_of_the_structure_before_any_evaluation(
    model: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = count_evaluations(model, monkeypatch)
    for wrong, kind, said in [
        (([8], [[0.0, 0.0]]), StructureError, r"structure 1 \(counted from 0\): positions have shape"),
        (([8, 1], [[0.0, 0.0, 0.0]]), StructureError, r"structure 1 .*expected \(2, 3\)"),
        (([8], [[0.0, 0.0, 0.0]], None, 1, 1), ModelError, r"structure 1 .*takes no charge"),
        (([8],), ModelError, r"structure 1 .*no tuple of 2 to 5 values"),
        ("water", ModelError, r"structure 1 .*no tuple of 2 to 5 values"),
    ]:
        with pytest.raises(kind, match=said):
            model.predict_many([ATOM, wrong])
    with pytest.raises(ModelError, match=r"takes a list of structures, got 5: give one \(atomic_numbers, positions\)"):
        model.predict_many(5)
    with pytest.raises(OrbmmError, match=r"structure 1 .*finite numbers"):
        model.predict_many([ATOM, ([8], [[np.nan, 0.0, 0.0]])])
    assert counted == []


@pytest.mark.parametrize("most_edges", [0, -1, 2.5, True])
def test_a_number_of_edges_that_is_none_is_refused(model: Potential, most_edges: object) -> None:
    with pytest.raises(ModelError, match="most_edges must be a whole number"):
        model.predict_many([ATOM], most_edges=most_edges)


def test_systems_with_a_cell_and_without_are_not_joined(model: Potential) -> None:
    graphs = [model._find_graph(model._read_system(Structure(*given))) for given in STRUCTURES]
    with pytest.raises(ModelError, match="with and without a cell: join either kind by itself"):
        join_systems(graphs)


@pytest.mark.parametrize(("field", "word"), [("charges", "charge"), ("multiplicities", "multiplicity")])
def test_systems_with_a_charge_and_without_are_not_joined(model: Potential, field: str, word: str) -> None:
    """The charge of one system would be taken for that of another."""
    plain = model._find_graph(model._read_system(Structure(*ATOM)))
    known = replace(plain, **{field: torch.tensor([1.0])})
    with pytest.raises(ModelError, match=f"with and without a {word}: join either kind by itself"):
        join_systems([plain, known])
    assert getattr(join_systems([known, known]), field).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("structure", [MIXED[0], MIXED[1]])
def test_copies_of_a_charged_system_have_the_graph_of_joined_systems(structure) -> None:
    charged = make_random_potential("orb-v3-direct-omol", architecture=NARROW)
    one = charged.compose(structure.atomic_numbers, 1, 2)
    cell = None if structure.cell is None else torch.as_tensor(structure.cell)
    frames = [torch.as_tensor(structure.positions) * scale for scale in (1.0, 1.01)]
    edges = [charged.find_edges(frame, cell) for frame in frames]
    joined = join_systems([charged.make_graph(one, *each) for each in zip(frames, [cell] * 2, edges, strict=True)])
    neighbors = VerletList(6.0, charged.record.max_neighbors, 0.7, systems=2)
    both = torch.cat(frames)
    copied = charged.make_graph(one.repeat(2), both, cell, neighbors.find_edges(both, cell))
    assert {name for name, value in vars(joined).items() if not is_same(value, getattr(copied, name))} == set()
    assert not is_same(joined.charges, replace(copied, charges=copied.charges + 1).charges)


def is_same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.allclose(one, other, rtol=0.0, atol=1e-6)
