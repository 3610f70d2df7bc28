"""Expected errors are compared with true ones."""

from __future__ import annotations

import numpy as np
import pytest

from orbmm.training.confidence.calibration import compare_errors


def test_a_calibration_counts_by_hand() -> None:
    expected = np.array([0.01, 0.03, 0.17, 0.17, 0.25])
    true = np.array([0.02, 0.02, 0.10, 0.50, 0.90])
    found = compare_errors(expected, true, last_edge=0.3)
    assert (found.atoms, found.large, found.flagged) == (5, 2, 1.0)
    assert found.false_alarms == pytest.approx(1 / 3)
    assert found.ratio == pytest.approx(0.63 / 1.54)
    rows = [(one.begin_mev_per_angstrom, one.atoms, one.true_mev_per_angstrom) for one in found.bins]
    assert np.array(rows) == pytest.approx(np.array([(0, 1, 20), (20, 1, 20), (160, 2, 300), (240, 1, 900)]))
    assert found.rank == pytest.approx(9.0 / 9.5)  # Pearson's correlation of ranks 1 2 3.5 3.5 5, 1.5 1.5 3 4 5


def test_bins_are_monotonic_only_where_the_true_error_rises() -> None:
    expected = np.repeat([0.01, 0.05, 0.09, 0.13], [200, 200, 200, 5])
    rising = np.repeat([0.01, 0.05, 0.09, 0.0], [200, 200, 200, 5])
    assert compare_errors(expected, rising, 0.3).is_monotonic  # five atoms are not judged
    assert not compare_errors(expected, 0.1 - rising, 0.3).is_monotonic
