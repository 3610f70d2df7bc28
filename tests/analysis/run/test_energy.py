"""Drift of synthetic lines."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.synthetic import make_noise

from orbmm.analysis import compute_energy
from orbmm.analysis.run.energy import fit_drift
from orbmm.run_files.energies import EnergyTable

MEV_PER_KJ_MOL = 1000.0 / 96.4853321
ATOMS = 100


def make_table(total: np.ndarray) -> EnergyTable:
    return EnergyTable(
        0.1 * np.arange(len(total)), total - 50.0, np.full(len(total), 50.0), total, np.full(len(total), 300.0)
    )


def test_the_drift_of_a_line_is_its_slope() -> None:
    result = compute_energy(make_table(-2000.0 + 3.0 * 0.1 * np.arange(200)), ATOMS)
    assert result.number("total_drift") == pytest.approx(3.0 * MEV_PER_KJ_MOL / ATOMS, rel=1e-9)
    assert result.number("total_fluctuation") == pytest.approx(0.0, abs=1e-9)
    assert result.units["total_drift"] == "meV/atom/ps"


def test_a_start_that_relaxes_is_no_drift_once_discarded() -> None:
    total = np.concatenate([np.linspace(-500.0, 0.0, 50), np.zeros(150)])
    assert compute_energy(make_table(total), ATOMS, discard_ps=5.0).number("total_drift") == pytest.approx(
        0.0, abs=1e-9
    )
    assert compute_energy(make_table(total), ATOMS).number("total_drift") > 1.0


def test_the_error_of_a_slope_through_white_noise_is_the_textbook_one() -> None:
    time = 0.1 * np.arange(2000)
    errors = [fit_drift(time, make_noise(2000, 0.0, seed))[1] for seed in range(8)]
    assert np.mean(errors) == pytest.approx(1.0 / np.sqrt(((time - time.mean()) ** 2).sum()), rel=0.15)


def test_the_error_of_a_slope_covers_correlated_noise() -> None:
    time = 0.1 * np.arange(2000)
    fits = [fit_drift(time, make_noise(2000, 0.95, seed)) for seed in range(60)]
    slopes = np.array([slope for slope, _, _ in fits])
    assert np.mean([error for _, error, _ in fits]) == pytest.approx(slopes.std(), rel=0.35)
    naive = 1.0 / np.sqrt(((time - time.mean()) ** 2).sum())
    assert slopes.std() > 3.0 * naive


def test_two_rows_have_a_slope_without_error() -> None:
    slope, error, _ = fit_drift(np.array([0.0, 2.0]), np.array([1.0, 5.0]))
    assert slope == pytest.approx(2.0) and np.isnan(error)
