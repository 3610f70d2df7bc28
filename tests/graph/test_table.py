"""Edges from a table of fixed sizes are those of a fresh search, in the same order, and the host never waits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from graph.boxes import list_boxes
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators

from orbmm.graph import table as table_module
from orbmm.graph.edges import find_edges
from orbmm.graph.table import PaddedEdges, select_edges
from orbmm.graph.verlet import VerletList

CUTOFF, SKIN, PADDING = 6.0, 0.7, 37
BOXES = list_boxes()


@pytest.fixture
def operators() -> Iterator[Operators]:
    with stand_in_gpu() as counts:
        yield counts


def read_box(name: str, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor | None]:
    positions, cell = BOXES[name]
    return torch.from_numpy(positions).to(device), None if cell is None else torch.from_numpy(cell).to(device)


def walk(name: str, cap: int | None, steps: int = 4) -> Iterator[tuple[PaddedEdges, object]]:
    """Padded edges and those of a fresh search, along a walk within half the skin, with jumps to other images."""
    positions, cell = read_box(name)
    neighbors, random = VerletList(CUTOFF, cap, SKIN), np.random.default_rng(7)
    table, count = neighbors.tabulate(positions, cell)
    for _ in range(steps):
        moved = positions + torch.from_numpy(random.uniform(-0.12, 0.12, positions.shape))
        if cell is not None:
            moved = moved + torch.from_numpy(random.integers(-2, 3, positions.shape).astype(float)) @ cell
        fresh = find_edges(moved, cell, CUTOFF, cap)
        yield select_edges(table, moved, cell, neighbors.limits, max(count, len(fresh)) + PADDING), fresh


def list_differences(found: PaddedEdges, fresh) -> list[str]:
    real = int(found.count)
    names = ("senders", "receivers", "shifts")
    same = {name: torch.equal(getattr(found.edges, name)[:real], getattr(fresh, name)) for name in names}
    return [name for name, equal in same.items() if not equal]


@pytest.mark.parametrize("cap", [None, 20, 3])
@pytest.mark.parametrize("name", BOXES)
def test_the_edges_are_those_of_a_fresh_search_in_the_same_order(name: str, cap: int | None) -> None:
    atoms = len(BOXES[name][0])
    for found, fresh in walk(name, cap):
        assert list_differences(found, fresh) == []
        assert found.is_real.sum() == found.count == len(fresh)
        padding = found.edges.senders[len(fresh) :]
        assert torch.equal(padding, found.edges.receivers[len(fresh) :])
        assert torch.bincount(padding, minlength=atoms).max() <= -(-len(padding) // atoms)
        assert float(found.farthest) <= (SKIN / 2) ** 2 and not found.overlaps and found.same_box


def test_another_rule_for_ties_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sort = table_module._sort_rows

    def reverse(steps: torch.Tensor, near: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        slots, counts = sort(steps.flip(1), near.flip(1), limit)
        return steps.shape[1] - 1 - slots, counts

    monkeypatch.setattr(table_module, "_sort_rows", reverse)
    positions, cell = read_box("perfect crystal")
    neighbors = VerletList(CUTOFF, 20, SKIN)
    table, count = neighbors.tabulate(positions, cell)
    found = select_edges(table, positions, cell, neighbors.limits, count + PADDING)
    assert "receivers" in list_differences(found, find_edges(positions, cell, CUTOFF, 20))


def test_what_makes_the_edges_worthless_is_reported() -> None:
    positions, cell = read_box("cubic")
    neighbors = VerletList(CUTOFF, 20, SKIN)
    table, count = neighbors.tabulate(positions, cell)

    def select(moved: torch.Tensor, box: torch.Tensor, size: int = count + PADDING) -> PaddedEdges:
        return select_edges(table, moved, box, neighbors.limits, size)

    for shift, is_far in ((0.999 * SKIN / 2, False), (1.001 * SKIN / 2, True), (torch.nan, True), (1e7, True)):
        moved = positions.clone()
        moved[3, 1] += shift
        assert (float(select(moved, cell).farthest) > (SKIN / 2) ** 2) == is_far
    assert not select(positions, cell * 1.001).same_box
    assert int(select(positions, cell, count - 5).count) == count
    close = positions.clone()
    close[1] = close[0] + 0.001
    assert select(close, cell).overlaps


@pytest.mark.parametrize("name", ["triclinic", "molecule"])
def test_the_host_never_waits(name: str, operators: Operators) -> None:
    positions, cell = read_box(name, "cuda:0")
    neighbors = VerletList(CUTOFF, 20, SKIN, "brute_force")
    table, count = neighbors.tabulate(positions, cell)
    operators.forget()
    select_edges(table, positions + 0.1, cell, neighbors.limits, count + PADDING)
    assert operators.waits.total() == 0 and operators.launched.total() <= 94, dict(operators.launched)
