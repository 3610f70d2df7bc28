"""A list with a skin is a fresh search along any trajectory: the same edges with the same shifts in the same order."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from graph.boxes import list_boxes
from torch import Tensor

from orbmm.errors import GraphError, StructureError
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.verlet import VerletList

CUTOFF, SKIN = 6.0, 0.6
STEPS = 8
STEP_ANGSTROM = 0.04  # standard deviation per coordinate
KICK_ANGSTROM = 0.4  # of one atom at half the way: more than half the skin, so that a search is due
BOXES = list_boxes()
PERIODIC = [name for name, (_, cell) in BOXES.items() if cell is not None]


def load_box(name: str) -> tuple[Tensor, Tensor | None]:
    positions, cell = BOXES[name]
    return torch.from_numpy(positions), None if cell is None else torch.from_numpy(cell)


def walk(name: str, seed: int = 0, steps: int = STEPS, jumps: bool = False) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A random walk; with jumps, at every step each atom may be given through another image of the cell."""
    positions, cell = load_box(name)
    random = np.random.default_rng(seed)
    for step in range(steps):
        positions = positions + torch.from_numpy(random.normal(0, STEP_ANGSTROM, positions.shape))
        positions[0, 0] += KICK_ANGSTROM if step == steps // 2 else 0.0
        cells = torch.from_numpy(random.integers(-2, 3, positions.shape).astype(float))
        yield positions + cells @ cell if jumps and cell is not None else positions, cell


def are_equal(one: EdgeList, other: EdgeList) -> bool:
    pairs = ((one.senders, other.senders), (one.receivers, other.receivers), (one.shifts, other.shifts))
    return all(torch.equal(mine, yours) for mine, yours in pairs)


@pytest.mark.parametrize("max_neighbors", [None, 20])
@pytest.mark.parametrize("name", BOXES)
def test_edges_along_a_trajectory_are_those_of_a_fresh_search(name: str, max_neighbors: int | None) -> None:
    edges = VerletList(CUTOFF, max_neighbors, SKIN)
    for positions, cell in walk(name):
        assert are_equal(edges.find_edges(positions, cell), find_edges(positions, cell, CUTOFF, max_neighbors))
    assert 2 <= edges.searches < STEPS  # both ways were taken


@pytest.mark.parametrize("name", PERIODIC)
def test_atoms_given_through_other_images_keep_the_list(name: str) -> None:
    edges = VerletList(CUTOFF, 20, SKIN)
    for positions, cell in walk(name, jumps=True):
        assert are_equal(edges.find_edges(positions, cell), find_edges(positions, cell, CUTOFF, 20))
    assert edges.searches < STEPS


def test_atoms_that_cross_a_face_one_by_one_keep_the_list() -> None:
    positions, cell = load_box("triclinic")
    edges = VerletList(CUTOFF, None, SKIN)
    for step in range(25):
        moved = positions + step * torch.tensor([0.01, -0.01, 0.0])
        assert are_equal(edges.find_edges(moved, cell), find_edges(moved, cell, CUTOFF, None))
    assert edges.searches == 2


@pytest.mark.parametrize("name", ["triclinic", "molecule", "perfect crystal"])
def test_a_stale_list_would_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerletList, "_is_near", lambda *_: True)
    edges = VerletList(CUTOFF, None, SKIN)
    frames = list(walk(name, steps=80))
    found = [edges.find_edges(*frame) for frame in frames]
    assert edges.searches == 1
    assert are_equal(found[0], find_edges(*frames[0], CUTOFF, None))
    assert not are_equal(found[-1], find_edges(*frames[-1], CUTOFF, None))


def test_a_move_just_below_half_the_skin_keeps_the_list_and_one_just_above_does_not() -> None:
    positions, cell = load_box("cubic")
    for length, searches in ((0.999, 1), (1.001, 2)):
        edges = VerletList(CUTOFF, None, SKIN)
        edges.find_edges(positions, cell)
        moved = positions.clone()
        moved[3, 1] += length * SKIN / 2
        edges.find_edges(moved, cell)
        assert edges.searches == searches


@pytest.mark.parametrize("name", ["cubic", "skewed", "needle", "rhombic dodecahedron"])
def test_a_barostat_move_and_its_way_back_search_again(name: str) -> None:
    positions, cell = load_box(name)
    edges = VerletList(CUTOFF, 20, SKIN)
    for scale in (1.0, 1.003, 1.0, 1.0):
        found = edges.find_edges(positions * scale, cell * scale)
        assert are_equal(found, find_edges(positions * scale, cell * scale, CUTOFF, 20))
    assert edges.searches == 3


def test_pairs_of_another_box_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    positions, cell = load_box("cubic")
    monkeypatch.setattr("orbmm.graph.verlet._is_same_box", lambda *_: True)
    edges = VerletList(CUTOFF, None, SKIN)
    edges.find_edges(positions, cell)
    assert not are_equal(edges.find_edges(positions, cell * 1.02), find_edges(positions, cell * 1.02, CUTOFF, None))


def test_an_answer_does_not_depend_on_what_was_asked_before() -> None:
    edges = VerletList(CUTOFF, 20, SKIN)
    frames = [*walk("triclinic", steps=3), *walk("molecule", steps=2), *walk("cubic", steps=2)]
    for order in (frames, frames[::-1], frames[::2] + frames[1::2]):
        for frame in order:
            assert are_equal(edges.find_edges(*frame), find_edges(*frame, CUTOFF, 20))


def test_threads_with_trajectories_of_their_own_share_a_list() -> None:
    edges = VerletList(CUTOFF, 20, SKIN)
    wrong: list[int] = []

    def follow(seed: int) -> None:
        for frame in walk("large", seed, steps=30):
            if not are_equal(edges.find_edges(*frame), find_edges(*frame, CUTOFF, 20)):
                wrong.append(seed)

    threads = [threading.Thread(target=follow, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert edges.searches > 2


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e7])
@pytest.mark.parametrize("name", ["cubic", "molecule"])
def test_coordinates_that_are_no_place_are_refused_after_good_ones(value: float, name: str) -> None:
    positions, cell = load_box(name)
    edges = VerletList(CUTOFF, None, SKIN)
    edges.find_edges(positions, cell)
    bad = positions.clone()
    bad[3, 1] = value
    with pytest.raises(StructureError, match="atom 3 .* finite numbers"):
        edges.find_edges(bad, cell)
    assert are_equal(edges.find_edges(positions, cell), find_edges(positions, cell, CUTOFF, None))


def test_atoms_that_meet_while_the_list_is_kept_are_named() -> None:
    positions = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    edges = VerletList(CUTOFF, None, SKIN)
    edges.find_edges(positions, None)
    positions[1, 0] = 0.005
    with pytest.raises(StructureError, match="atoms 0 and 1 .* on top of each other"):
        edges.find_edges(positions, None)
    assert edges.searches == 1


@pytest.mark.parametrize("skin", [-0.1, math.nan, 6.1])
def test_a_skin_that_makes_no_sense_is_refused(skin: float) -> None:
    with pytest.raises(GraphError, match="skin of"):
        VerletList(CUTOFF, None, skin)


def test_a_skin_of_nothing_searches_whenever_an_atom_moves() -> None:
    edges = VerletList(CUTOFF, None, 0.0)
    for frame in walk("cubic", steps=3):
        assert are_equal(edges.find_edges(*frame), find_edges(*frame, CUTOFF, None))
    assert edges.searches == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["triclinic", "molecule", "needle"])
def test_a_list_on_a_gpu_is_a_fresh_search_there(name: str) -> None:
    edges = VerletList(CUTOFF, 20, SKIN)
    for positions, cell in walk(name, jumps=True):
        on_gpu = positions.cuda(), None if cell is None else cell.cuda()
        assert are_equal(edges.find_edges(*on_gpu), find_edges(*on_gpu, CUTOFF, 20))
    assert edges.searches < STEPS


def find_edges_of_each(positions: Tensor, cell: Tensor | None, systems: int) -> EdgeList:
    """The edges of one system after the other, with atoms counted through all of them."""
    atoms = len(positions) // systems
    found = [find_edges(each, cell, CUTOFF, 20) for each in positions.split(atoms)]
    ends = [
        torch.cat([getattr(each, end) + k * atoms for k, each in enumerate(found)]) for end in ("senders", "receivers")
    ]
    return EdgeList(*ends, torch.cat([each.shifts for each in found]))


@pytest.mark.parametrize("name", BOXES)
def test_systems_side_by_side_have_the_edges_of_each_by_itself(name: str) -> None:
    edges, joined = VerletList(CUTOFF, 20, SKIN, systems=2), VerletList(CUTOFF, 20, SKIN)
    for (first, cell), (second, _) in zip(walk(name, 1), walk(name, 2, jumps=True), strict=True):
        both = torch.cat([first, second])
        expected = find_edges_of_each(both, cell, 2)
        assert are_equal(edges.find_edges(both, cell), expected)
        assert not are_equal(joined.find_edges(both, cell), expected)
    assert 2 <= edges.searches < STEPS


def test_systems_of_unequal_sizes_are_refused() -> None:
    positions, cell = load_box(PERIODIC[0])
    with pytest.raises(GraphError, match="are not 1000000 systems of equally many atoms"):
        VerletList(CUTOFF, 20, SKIN, systems=1_000_000).find_edges(positions, cell)
