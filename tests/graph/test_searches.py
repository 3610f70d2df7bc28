"""Every search method gives the edges that looking at all pairs gives."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from graph.boxes import build_lattice, list_boxes
from numpy.typing import NDArray
from oracles.neighbours import Edge, list_edges

from orbmm.errors import DeviceError, GraphError, MissingDependency
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.search import brute_force, cell_list, choose, padding

CUTOFF = 6.0
BOXES = list_boxes()
CPU_METHODS = ("brute_force", "kd_tree", "cell_list")
HAS_CUML = importlib.util.find_spec("cuml") is not None


def search_edges(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, method: str, max_neighbors: int | None = None
) -> list[Edge]:
    """The edges of find_edges in its own order, as plain tuples."""
    rows = None if cell is None else torch.from_numpy(cell)
    return as_tuples(find_edges(torch.from_numpy(positions), rows, CUTOFF, max_neighbors, method))


def as_tuples(edges: EdgeList) -> list[Edge]:
    columns = torch.cat([edges.senders[:, None], edges.receivers[:, None], edges.shifts], dim=1)  # (E, 5)
    return [tuple(row) for row in columns.tolist()]


@functools.cache
def list_expected(box: str, max_neighbors: int | None) -> list[Edge]:
    return list_edges(*BOXES[box], CUTOFF, max_neighbors)


def test_every_method_is_in_these_tests() -> None:
    assert {*CPU_METHODS, "ball_cover"} == set(choose.METHODS)
    assert len({choose.load_search(method) for method in choose.METHODS}) == len(choose.METHODS)


@pytest.mark.parametrize("method", [*CPU_METHODS, "auto"])
@pytest.mark.parametrize("box", BOXES)
def test_edges_are_those_of_all_pairs(method: str, box: str) -> None:
    expected = list_expected(box, None)
    found = search_edges(*BOXES[box], method)
    assert len(expected) > 0
    assert set(found) == set(expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize("method", CPU_METHODS)
@pytest.mark.parametrize("box", BOXES)
def test_the_nearest_neighbours_are_kept_in_order(method: str, box: str) -> None:
    assert search_edges(*BOXES[box], method, 20) == list_expected(box, 20)


@pytest.mark.parametrize("method", CPU_METHODS)
@pytest.mark.parametrize("max_neighbors", [1, 7, 17, 30, 100_000])
def test_ties_of_a_perfect_crystal_fall_alike(method: str, max_neighbors: int) -> None:
    positions, cell = BOXES["perfect crystal"]  # shells of 12, 6, 24 and 12 neighbours: 7, 17 and 30 cut through one
    assert search_edges(positions, cell, method, max_neighbors) == list_edges(positions, cell, CUTOFF, max_neighbors)


@pytest.mark.parametrize("change", ["one edge dropped", "one shift moved", "one edge twice"])
def test_a_wrong_edge_would_be_seen(change: str) -> None:
    positions, cell = BOXES["triclinic"]
    right = search_edges(positions, cell, "auto")
    sender, receiver, *shift = right[5]
    moved = (sender, receiver, shift[0] + 1, shift[1], shift[2])
    wrong = {
        "one edge dropped": right[:5] + right[6:],
        "one shift moved": right[:5] + [moved] + right[6:],
        "one edge twice": right[:6] + right[5:],
    }[change]
    expected = list_edges(positions, cell, CUTOFF)
    assert (set(right), len(right)) == (set(expected), len(expected))
    assert (set(wrong), len(wrong)) != (set(expected), len(expected))


@pytest.mark.parametrize("method", CPU_METHODS)
def test_a_water_box_has_the_same_edges_by_every_method(method: str, shared_structures: Path) -> None:
    lines = (shared_structures / "alanine_dipeptide_explicit.pdb").read_text().splitlines()
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    positions = torch.tensor([[float(line[at : at + 8]) for at in (30, 38, 46)] for line in atoms])
    lengths = next(line for line in lines if line.startswith("CRYST1")).split()[1:4]
    cell = torch.diag(torch.tensor([float(length) for length in lengths]))
    edges = find_edges(positions, cell, CUTOFF, 120, method)
    assert len(edges) == 151_620  # counted by other programs too
    assert torch.equal(edges.shifts, find_edges(positions, cell, CUTOFF, 120).shifts)
    assert edges.vectors(positions, cell).norm(dim=1).max() < CUTOFF


def test_an_overflowing_cell_list_grows_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    capacities = []
    fill = cell_list._fill_table

    def fill_and_note(*arguments):
        capacities.append(arguments[3])
        return fill(*arguments)

    monkeypatch.setattr(cell_list, "_fill_table", fill_and_note)
    positions = BOXES["cubic"][0]
    cell = np.eye(3) * 40.0  # the atoms fill one corner: far denser than the average
    assert search_edges(positions, cell, "cell_list") == search_edges(positions, cell, "brute_force")
    first, second = capacities
    assert first < second


def test_a_cell_list_that_overflows_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = cell_list._fill_table

    def fill_and_miscount(*arguments):
        table, counts, shifts = fill(*arguments)
        return table, counts + arguments[3] + 1, shifts

    monkeypatch.setattr(cell_list, "_fill_table", fill_and_miscount)
    with pytest.raises(GraphError, match="expected the same number twice"):
        search_edges(*BOXES["cubic"], "cell_list")


@pytest.mark.parametrize("pairs", [1, 777])
def test_small_blocks_change_nothing(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [BOXES[name] for name in ("triclinic", "molecule", "two-atom crystal")]
    whole = [search_edges(*box, method) for box in boxes for method in ("brute_force", "kd_tree")]
    monkeypatch.setattr(brute_force, "PAIRS_AT_ONCE_CPU", pairs)
    monkeypatch.setattr(padding, "IMAGES_TIMES_ATOMS_AT_ONCE", pairs)
    assert [search_edges(*box, method) for box in boxes for method in ("brute_force", "kd_tree")] == whole


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(GraphError, match="unknown neighbour search 'kdtree': did you mean 'kd_tree'"):
        search_edges(*BOXES["cubic"], "kdtree")


@pytest.mark.skipif(HAS_CUML, reason="cuML is installed")
def test_ball_cover_without_cuml_says_what_to_install() -> None:
    with pytest.raises(MissingDependency, match="cuML"):
        search_edges(*BOXES["cubic"], "ball_cover")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_cuml = pytest.mark.skipif(not HAS_CUML, reason="needs cuML")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("method", [*CPU_METHODS, "auto"])
@pytest.mark.parametrize("box", BOXES)
def test_edges_on_a_gpu_are_those_on_the_cpu(method: str, box: str) -> None:
    positions, cell = (None if each is None else torch.from_numpy(each).cuda() for each in BOXES[box])
    edges = find_edges(positions, cell, CUTOFF, 20, method)
    assert edges.senders.is_cuda
    assert as_tuples(edges) == search_edges(*BOXES[box], "brute_force", 20)


@pytest.mark.gpu
@needs_gpu
@needs_cuml
@pytest.mark.parametrize("method", ["ball_cover"])
@pytest.mark.parametrize("periodic", [True, False])
def test_ball_cover_agrees_on_a_large_box(method: str, periodic: bool) -> None:
    lattice, cell = build_lattice(20, 2.2, [[0.0, 0.0, 0.0]])
    positions = lattice + np.random.default_rng(3).normal(scale=0.3, size=lattice.shape)
    rows = torch.from_numpy(cell) if periodic else None
    edges = find_edges(torch.from_numpy(positions).cuda(), None if rows is None else rows.cuda(), CUTOFF, 120, method)
    assert as_tuples(edges) == search_edges(positions, cell if periodic else None, "kd_tree", 120)


@pytest.mark.gpu
@needs_gpu
@needs_cuml
def test_ball_cover_refuses_a_box_too_small_for_it() -> None:
    positions, cell = (torch.from_numpy(each).cuda() for each in BOXES["cubic"])
    with pytest.raises(GraphError, match="choose the cell_list method"):
        find_edges(positions, cell, CUTOFF, 20, "ball_cover")


@pytest.mark.gpu
@needs_cuml
def test_ball_cover_refuses_atoms_on_the_cpu() -> None:
    with pytest.raises(DeviceError, match="CUDA device"):
        search_edges(*BOXES["cubic"], "ball_cover")
