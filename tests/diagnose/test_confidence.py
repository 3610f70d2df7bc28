"""The confidence is counted as it should be, and a head that is too sure is found with labels."""

from __future__ import annotations

import numpy as np
import pytest

from orbmm.diagnose.confidence import expect_errors, find_pit, measure_calibration, measure_confidence

EDGES = np.linspace(0.0, 0.4, 51)


def make_head(atoms: int = 4000) -> np.ndarray:
    """Probabilities (N, 50) that fall off, at a rate of each atom."""
    rates = np.random.default_rng(0).uniform(10.0, 60.0, atoms)[:, None]
    probabilities = np.exp(-rates * EDGES[:-1])
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def draw_errors(probabilities: np.ndarray) -> np.ndarray:
    """Errors (N,) that a calibrated head would be right about, drawn by inverting the sum of its bins."""
    random = np.random.default_rng(1)
    bins = [random.choice(50, p=row) for row in probabilities]
    return EDGES[bins] + random.uniform(size=len(bins)) * EDGES[1]


def test_a_calibrated_head_passes_and_one_that_is_too_sure_fails() -> None:
    head = make_head()
    errors = draw_errors(head)
    calibrated, too_sure = measure_calibration(head, EDGES, errors), measure_calibration(head, EDGES, 2.5 * errors)
    assert calibrated.value == pytest.approx(10.0, abs=1.5)
    assert calibrated.details["pit_deciles"] == pytest.approx([0.1] * 10, abs=0.02)
    assert calibrated.passed
    assert too_sure.value > 30.0
    assert not too_sure.passed


def test_pit_is_the_predicted_probability_of_a_smaller_error() -> None:
    head = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8], [0.2, 0.8]])
    found = find_pit(head, np.array([0.0, 1.0, 3.0]), np.array([0.5, 2.0, 0.0, 9.0]))
    assert found == pytest.approx([0.25, 0.75, 0.0, 1.0])


def test_the_share_of_unsure_atoms_is_counted() -> None:
    head = np.zeros((4, 50))
    head[:2, 2], head[2, 11], head[3, 13] = 1.0, 1.0, 1.0  # centres 0.02, 0.092 and 0.108 eV/Å
    found = measure_confidence(head, EDGES, np.array([1, 1, 8, 8]))
    assert expect_errors(head, EDGES) == pytest.approx([0.02, 0.02, 0.092, 0.108])
    assert found.value == pytest.approx(25.0)
    assert not found.passed
    assert sum(found.details["histogram_atoms"]) == 4
    assert found.details["median_by_element_ev_per_angstrom"] == pytest.approx({"H": 0.02, "O": 0.1})
