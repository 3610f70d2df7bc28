"""Block averages against closed forms of first-order autoregressive noise."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.synthetic import make_noise

from orbmm.analysis.statistics import average_blocks, find_equilibration


def expect_error(samples: int, memory: float) -> float:
    """Exact standard error of the mean of AR(1) noise of unit variance."""
    inefficiency = (1 + memory) / (1 - memory) - 2 * memory * (1 - memory**samples) / (samples * (1 - memory) ** 2)
    return float(np.sqrt(inefficiency / samples))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.98])
def test_the_error_is_that_of_the_closed_form(memory: float) -> None:
    averages = [average_blocks(make_noise(8192, memory, seed)) for seed in range(12)]
    assert all(average.converged for average in averages)
    errors = [average.error for average in averages]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expect_error(8192, memory), rel=0.12)


def test_the_error_that_ignores_correlation_would_be_far_off() -> None:
    series = make_noise(8192, 0.98)
    assert series.std() / np.sqrt(len(series)) < 0.2 * expect_error(8192, 0.98)


def test_the_error_covers_the_true_mean_as_often_as_it_should() -> None:
    averages = [average_blocks(make_noise(2048, 0.9, seed)) for seed in range(100)]
    covered = sum(abs(average.mean) < 2 * average.error for average in averages)
    assert 88 <= covered <= 100


def test_the_inefficiency_of_independent_samples_is_one() -> None:
    assert average_blocks(make_noise(4096, 0.0)).inefficiency == pytest.approx(1.0, abs=0.15)


def test_a_series_too_short_for_its_memory_says_so() -> None:
    assert not average_blocks(make_noise(64, 0.98)).converged


def test_a_constant_series_has_no_error() -> None:
    average = average_blocks(np.full(32, 7.0))
    assert (average.mean, average.error, average.converged) == (7.0, 0.0, True)


def test_three_samples_have_a_mean_but_no_error() -> None:
    average = average_blocks(np.array([1.0, 2.0, 3.0]))
    assert average.mean == 2.0 and np.isnan(average.error) and not average.converged


def test_the_equilibration_cut_falls_after_the_decay() -> None:
    decay = 20.0 * np.exp(-np.arange(1000) / 40.0)
    assert 100 <= find_equilibration(decay + make_noise(1000, 0.3)) <= 300


def test_a_series_without_decay_keeps_nearly_all_samples() -> None:
    cuts = [find_equilibration(make_noise(1000, 0.3, seed)) for seed in range(10)]
    assert np.median(cuts) <= 150
