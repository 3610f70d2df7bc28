"""scripts/embedded/push_protons.py: protons move along hydrogen bonds only, and whole molecules with their acceptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from orbmm.training.data.frames import Frame

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
DONOR, PROTON, ACCEPTOR = 0, 1, 3
APART = 2.85  # Å between the oxygens


def make_dimer(apart: float = APART, cell: np.ndarray | None = None) -> Frame:
    """Two waters; the first gives a hydrogen along x to the second, which turns its own away."""
    other = WATER @ np.diag([-1.0, 1.0, 1.0])  # its first bond points back
    other = other[:, [1, 0, 2]] * [1.0, -1.0, 1.0]  # a quarter turn: along y now
    return Frame(
        np.array([8, 1, 1] * 2), np.concatenate([WATER, other + [apart, 0, 0]]), cell, np.ones(6, bool), "pair"
    )


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/embedded/push_protons.py")


def test_a_hydrogen_bond_is_found_and_none_without_an_acceptor_near(script: ModuleType) -> None:
    assert script.list_hydrogen_bonds(make_dimer()).tolist() == [[DONOR, PROTON, ACCEPTOR]]
    assert len(script.list_hydrogen_bonds(make_dimer(apart=3.5))) == 0
    assert script.push(make_dimer(apart=3.5), np.random.default_rng(1)) is None


@pytest.mark.parametrize("cell", [None, 8.0 * np.eye(3)])
def test_the_proton_lies_between_both_and_only_it_and_the_other_molecule_move(
    script: ModuleType, cell: np.ndarray | None
) -> None:
    frame = make_dimer(cell=cell)
    if cell is not None:  # the same pair, the acceptor seen through the box
        frame = replace(frame, positions=frame.positions - np.where(np.arange(6)[:, None] < ACCEPTOR, 0.0, [8.0, 0, 0]))
    pushed = [found for seed in range(40) if (found := script.push(frame, np.random.default_rng(seed))) is not None]
    assert len(pushed) > 10
    places = []
    for found in pushed:
        moved = found.positions - frame.positions
        assert np.abs(moved[[DONOR, 2]]).max() == 0.0
        assert np.ptp(moved[ACCEPTOR:], axis=0) == pytest.approx(0.0, abs=1e-12)
        distances = script.measure_distances(found)
        apart = distances[DONOR, ACCEPTOR]
        assert 2.35 <= apart <= APART + 1e-9
        assert distances[DONOR, PROTON] + distances[PROTON, ACCEPTOR] == pytest.approx(apart)
        places.append(distances[DONOR, PROTON] / apart)
    assert min(places) < 0.45
    assert max(places) > 0.55


def test_a_bond_to_a_metal_joins_no_molecules(script: ModuleType) -> None:
    zinc = Frame(np.array([30, 8, 1, 1]), np.vstack([[-2.0, 0, 0], WATER]), None, np.ones(4, bool), "zinc")
    assert len(set(script.find_molecules(zinc))) == len(("zinc", "water"))
