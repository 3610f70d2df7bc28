"""Bonds are found by distance, and atoms unlike the training data are counted by kind."""

from __future__ import annotations

import numpy as np
import pytest

from orbmm.checkpoints.catalog import find_record
from orbmm.diagnose.bonds import count_unseen, find_bonds
from orbmm.diagnose.field import Place
from orbmm.diagnose.subject import read_shipped

WATER = np.array([[0.0, 0.0, 0.0], [0.957, 0.0, 0.0], [-0.24, 0.927, 0.0]])
HYDRONIUM = np.vstack([WATER, [-0.4, -0.5, 0.75]])
EMBEDDED, PUBLISHED = find_record("orb-mini-conservative-inf-xtb"), find_record("orb-v3-conservative-inf-omat")


def test_the_shipped_box_has_exactly_the_coordination_that_counts_as_seen() -> None:
    (frame,) = read_shipped()
    bonds = find_bonds(frame.atomic_numbers, Place(frame.positions, frame.cell))
    counts = np.bincount(bonds[:, 0], minlength=len(frame.atomic_numbers))
    found = {int(one): set(counts[frame.atomic_numbers == one].tolist()) for one in np.unique(frame.atomic_numbers)}
    assert found == EMBEDDED.bonds


def test_bonds_cross_the_border_of_a_box() -> None:
    cell = np.eye(3) * 12.0
    whole = find_bonds(np.array([8, 1, 1]), Place(WATER + 6.0, cell))
    cut = find_bonds(np.array([8, 1, 1]), Place((WATER + [11.5, 0.0, 0.0]) % 12.0, cell))
    assert sorted(map(tuple, whole)) == sorted(map(tuple, cut)) == [(0, 1), (0, 2), (1, 0), (2, 0)]


@pytest.mark.parametrize(
    ("numbers", "positions", "record", "kinds"),
    [
        ([8, 1, 1], WATER, EMBEDDED, {}),
        ([8, 1, 1, 1], HYDRONIUM, EMBEDDED, {"O with 3 bonds": 1}),
        ([8, 1, 1, 1], HYDRONIUM, PUBLISHED, {}),
        ([16, 1, 1], WATER * 1.35, EMBEDDED, {"S": 1}),
        ([85, 1, 1], WATER * 1.8, PUBLISHED, {"At": 1}),
    ],
)
def test_unseen_atoms_are_named(numbers: list[int], positions: np.ndarray, record: object, kinds: dict) -> None:
    found = count_unseen(np.array(numbers), Place(positions), record)  # type: ignore[arg-type]
    assert found.details["kinds"] == kinds
    assert found.value == pytest.approx(100.0 * len(kinds) / len(numbers))
    assert found.passed is (not kinds)
