"""Temperature from a table of energies of known mean and degrees of freedom."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from analysis.synthetic import make_noise
from analysis.test_statistics import expect_error

from orbmm.analysis import compute_temperature, judge
from orbmm.analysis.result import Result
from orbmm.analysis.run.temperature import Bath
from orbmm.errors import AnalysisError
from orbmm.run_files.energies import EnergyTable

GAS_CONSTANT = 8.31446262e-3  # kJ/mol/K
ATOMS = 250


def make_table(temperature: np.ndarray, freedom: int = 3 * ATOMS - 3) -> EnergyTable:
    kinetic = 0.5 * freedom * GAS_CONSTANT * temperature
    return EnergyTable(0.01 * np.arange(len(temperature)), -kinetic, kinetic, 0.0 * kinetic, temperature)


def test_the_mean_lies_within_its_error_of_the_true_one() -> None:
    table = make_table(301.0 + 15.0 * make_noise(4000, 0.9))
    result = compute_temperature(table, ATOMS)
    assert result.number("mean") == pytest.approx(301.0, abs=2.5 * result.number("mean_error"))
    assert result.number("mean_error") == pytest.approx(15.0 * expect_error(4000, 0.9), rel=0.3)
    assert result.number("fluctuation") == pytest.approx(15.0, rel=0.1)


@pytest.mark.parametrize(
    ("freedom", "words"), [(3 * ATOMS - 3, "3 N - 3"), (3 * ATOMS, "(3 N)"), (600, "3 N less 150 constraints")]
)
def test_degrees_of_freedom_are_found_and_named(freedom: int, words: str) -> None:
    result = compute_temperature(make_table(300.0 + make_noise(100, 0.0), freedom), ATOMS)
    assert result.number("degrees_of_freedom") == freedom
    assert words in result.method


def test_the_expected_fluctuation_is_that_of_the_canonical_ensemble() -> None:
    result = compute_temperature(make_table(300.0 + make_noise(100, 0.0)), ATOMS)
    assert result.number("fluctuation_expected") == pytest.approx(result.number("mean") * np.sqrt(2 / 747))


def test_a_hot_start_is_left_out_when_asked() -> None:
    temperature = 300.0 + make_noise(1000, 0.0)
    temperature[:100] += 200.0
    kept = compute_temperature(make_table(temperature), ATOMS, discard_ps=1.0)
    assert kept.number("mean") == pytest.approx(300.0, abs=0.2) and kept.frames == 900
    assert compute_temperature(make_table(temperature), ATOMS).number("mean") == pytest.approx(320.0, abs=0.2)


def test_discarding_the_whole_run_is_refused() -> None:
    with pytest.raises(AnalysisError, match="0 of 100 rows from 5 ps on, too few to average; discard less"):
        compute_temperature(make_table(np.full(100, 300.0)), ATOMS, discard_ps=5.0)


def test_a_short_run_says_that_its_error_is_not_sure() -> None:
    result = compute_temperature(make_table(300.0 + make_noise(64, 0.98)), ATOMS)
    assert "too short to be sure" in result.method and result.number("converged") == 0


@pytest.mark.parametrize(("friction_per_ps", "converged"), [(0.1, 0), (1.0, 1)])
def test_a_run_shorter_than_the_bath_relaxes_does_not_know_its_error(friction_per_ps: float, converged: int) -> None:
    table = make_table(300.0 + 15.0 * make_noise(4000, 0.9))  # 40 ps: four or forty relaxation times
    result = compute_temperature(table, ATOMS, bath=Bath(300.0, friction_per_ps))
    assert result.number("converged") == converged
    assert ("too short" in result.method) is not bool(converged)


def test_each_element_has_its_mean_and_the_hottest_calls_for_caution() -> None:
    temperature = 300.0 + 5.0 * make_noise(4000, 0.5)
    bath = Bath(300.0)

    def measure(nitrogen: float) -> Result:
        series = {"N": nitrogen + 80.0 * make_noise(4000, 0.5, seed=3), "O": 300.0 + 10.0 * make_noise(4000, 0.5, 4)}
        table = dataclasses.replace(make_table(temperature), of_elements=series)
        return compute_temperature(table, ATOMS, bath=bath)

    hot = measure(360.0)
    assert hot.number("N_mean") == pytest.approx(360.0, abs=3.0 * hot.number("N_mean_error"))
    assert hot.number("N_mean_error") == pytest.approx(80.0 * expect_error(4000, 0.5), rel=0.4)
    assert "N, mean" in str(hot) and hot.columns["temperature_O"].shape == (4000,)
    verdict = judge({"temperature": hot})
    assert verdict.stable and "N hotter than the rest: 36" in verdict.line
    assert "hotter" not in judge({"temperature": measure(303.0)}).line
