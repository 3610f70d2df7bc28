"""What an edge list promises: vectors, shifts as given, invariances, and one sentence for input that makes no graph."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from graph.boxes import list_boxes
from torch import Tensor

from orbmm.errors import GraphError, StructureError
from orbmm.graph import nearest
from orbmm.graph.edges import EdgeList, find_edges

CUTOFF = 6.0
PERIODIC = [name for name, (_, cell) in list_boxes().items() if cell is not None]


def load_box(name: str) -> tuple[Tensor, Tensor | None]:
    positions, cell = list_boxes()[name]
    return torch.from_numpy(positions), None if cell is None else torch.from_numpy(cell)


def list_rows(edges: EdgeList) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.column_stack([edges.senders, edges.receivers, edges.shifts]).tolist()]


@pytest.mark.parametrize("name", list_boxes())
def test_vectors_run_from_sender_to_receiver_and_end_at_the_cutoff(name: str) -> None:
    positions, cell = load_box(name)
    edges = find_edges(positions, cell, CUTOFF, None)
    vectors = edges.vectors(positions, cell)
    for at in (0, len(edges) // 2, len(edges) - 1):
        expected = positions[edges.receivers[at]] - positions[edges.senders[at]]
        if cell is not None:
            expected = expected + sum(int(count) * row for count, row in zip(edges.shifts[at], cell, strict=True))
        torch.testing.assert_close(vectors[at], expected, rtol=0, atol=1e-10)
    assert float(vectors.norm(dim=1).max()) < CUTOFF
    assert float(vectors.norm(dim=1).min()) > 0.1


@pytest.mark.parametrize("name", PERIODIC)
def test_without_a_cap_every_edge_has_its_opposite(name: str) -> None:
    edges = find_edges(*load_box(name), CUTOFF, None)
    opposite = EdgeList(edges.receivers, edges.senders, -edges.shifts)
    assert set(list_rows(opposite)) == set(list_rows(edges))


@pytest.mark.parametrize("max_neighbors", [None, 20])
@pytest.mark.parametrize("name", PERIODIC)
def test_moving_atoms_by_cells_changes_only_the_shifts(name: str, max_neighbors: int | None) -> None:
    positions, cell = load_box(name)
    moved_by = torch.from_numpy(np.random.default_rng(5).integers(-4, 5, positions.shape))
    before = find_edges(positions, cell, CUTOFF, max_neighbors)
    after = find_edges(positions + moved_by.double() @ cell, cell, CUTOFF, max_neighbors)
    assert torch.equal(after.senders, before.senders)
    assert torch.equal(after.receivers, before.receivers)
    assert torch.equal(after.shifts, before.shifts + moved_by[before.senders] - moved_by[before.receivers])


@pytest.mark.parametrize("name", ["triclinic", "molecule"])
def test_the_order_of_atoms_does_not_matter(name: str) -> None:
    positions, cell = load_box(name)
    order = torch.from_numpy(np.random.default_rng(6).permutation(len(positions)))
    mixed = find_edges(positions[order], cell, CUTOFF, 20)
    named_back = EdgeList(order[mixed.senders], order[mixed.receivers], mixed.shifts)
    assert set(list_rows(named_back)) == set(list_rows(find_edges(positions, cell, CUTOFF, 20)))


def test_a_turned_crystal_keeps_its_ties() -> None:
    positions, cell = load_box("perfect crystal")
    cosine, sine = math.cos(0.3), math.sin(0.3)
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    edges = find_edges(positions, cell, CUTOFF, 17)
    turned = find_edges(positions @ turn, cell @ turn, CUTOFF, 17)
    assert list_rows(turned) == list_rows(edges)


def test_single_and_double_precision_choose_the_same_edges() -> None:
    positions, cell = (each.float() for each in load_box("triclinic"))
    single = find_edges(positions, cell, CUTOFF, 20)
    assert list_rows(single) == list_rows(find_edges(positions.double(), cell.double(), CUTOFF, 20))
    assert single.vectors(positions, cell).dtype == torch.float32


def test_distances_apart_by_more_than_the_grid_are_ordered_by_distance() -> None:
    positions = torch.tensor([[0.0, 0, 0], [2.00001, 0, 0], [0, 2.0, 0], [0, 0, -1.99999]], dtype=torch.float64)
    assert find_edges(positions, None, CUTOFF, None).receivers[:3].tolist() == [3, 2, 1]
    tied = torch.tensor([[0.0, 0, 0], [2.0 + 1e-9, 0, 0], [0, 2.0, 0], [0, 0, -2.0 + 1e-9]], dtype=torch.float64)
    assert find_edges(tied, None, CUTOFF, None).receivers[:3].tolist() == [1, 2, 3]


def test_two_sorts_give_the_order_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [load_box(name) for name in ("perfect crystal", "triclinic", "molecule")]
    one = [list_rows(find_edges(*box, CUTOFF, 17)) for box in boxes]
    monkeypatch.setattr(nearest, "KEY_BITS", 10)
    assert [list_rows(find_edges(*box, CUTOFF, 17)) for box in boxes] == one


def test_vectors_carry_gradients_to_positions_and_cell() -> None:
    positions, cell = load_box("two-atom crystal")
    edges = find_edges(positions.requires_grad_(), cell.requires_grad_(), 3.0, None)
    assert torch.autograd.gradcheck(edges.vectors, (positions, cell))
    assert not edges.shifts.requires_grad


def test_a_lone_atom_has_no_edges() -> None:
    for method in ("brute_force", "kd_tree", "cell_list"):
        edges = find_edges(torch.zeros(1, 3), None, CUTOFF, 20, method)
        assert (len(edges), edges.shifts.shape, edges.shifts.dtype) == (0, (0, 3), torch.int64)


CUBE = torch.eye(3) * 9.0
FLAT = torch.tensor([[9.0, 0, 0], [0, 9, 0], [5, 5, 0]])
BAD_CELLS = {
    "expected \\(3, 3\\)": torch.ones(3),
    "NaN or infinite": CUBE.clone().fill_(math.nan),
    "no volume.*pass cell=None": torch.zeros(3, 3),
    "lie in one plane": FLAT,
    "left-handed \\(volume -729": CUBE[[1, 0, 2]],
    "0.05 Å thin": torch.diag(torch.tensor([9.0, 9.0, 0.05])),
}


@pytest.mark.parametrize("sentence", BAD_CELLS)
def test_a_cell_without_a_proper_volume_is_refused(sentence: str) -> None:
    with pytest.raises(StructureError, match=sentence):
        find_edges(torch.rand(4, 3), BAD_CELLS[sentence], CUTOFF, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e7])
@pytest.mark.parametrize("cell", [CUBE, None])
def test_coordinates_that_are_no_place_are_refused(value: float, cell: Tensor | None) -> None:
    positions = load_box("cubic")[0].clone()
    positions[3, 1] = value
    with pytest.raises(StructureError, match="atom 3 .* finite numbers"):
        find_edges(positions, cell, CUTOFF, None)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (0, 3)])
def test_coordinates_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StructureError, match="expected \\(atoms, 3\\)"):
        find_edges(torch.zeros(shape), None, CUTOFF, None)


@pytest.mark.parametrize("method", ["brute_force", "kd_tree", "cell_list"])
def test_atoms_on_top_of_each_other_are_named(method: str) -> None:
    positions = load_box("cubic")[0].clone()
    positions[7] = positions[2] + torch.tensor([0.0, 0.005, 0.0])
    with pytest.raises(StructureError, match="atoms 2 and 7 .* 0.005 Å apart"):
        find_edges(positions, None, CUTOFF, None, method)
    positions[7] += torch.tensor([9.0, 0.0, -18.0])  # the same place through the cell
    with pytest.raises(StructureError, match="atoms 2 and 7"):
        find_edges(positions, CUBE, CUTOFF, 20, method)
    assert len(find_edges(positions, None, CUTOFF, None, method)) > 0


@pytest.mark.parametrize(("cutoff", "max_neighbors"), [(0.0, None), (math.nan, None), (6.0, 0)])
def test_a_cutoff_or_cap_of_nothing_is_refused(cutoff: float, max_neighbors: int | None) -> None:
    with pytest.raises(GraphError, match="above zero"):
        find_edges(torch.rand(4, 3), None, cutoff, max_neighbors)


def test_an_edge_list_cannot_be_changed() -> None:
    edges = find_edges(*load_box("cubic"), CUTOFF, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edges.senders = edges.receivers
