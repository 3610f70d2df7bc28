"""The verdict on results made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from orbmm.analysis import Limits, Result, judge
from orbmm.analysis.verdict import Outcome


def make_result(name: str, **values: float | list[str]) -> Result:
    arrays = {"time": np.zeros(1), **{key: np.asarray(value) for key, value in values.items()}}
    return Result(name, "made by hand", "time", arrays, dict.fromkeys(arrays, ""), 1)


def make_results(kelvin: float = 301.0, error: float = 4.0, converged: int = 1, names: tuple[str, ...] = ()) -> dict:
    return {
        "temperature": make_result(
            "temperature", mean=kelvin, mean_error=error, fluctuation=14.0, converged=converged, bath=300.0
        ),
        "bonds": make_result("bonds", broken_ever=len(names), broken_names=list(names), stretched_fraction=0.0),
        "rmsd": make_result("rmsd", heavy_atoms=[0.0], heavy_atoms_largest=0.9, heavy_atoms_last=0.61),
    }


def test_a_quiet_run_is_stable() -> None:
    verdict = judge(make_results())
    assert verdict.stable
    assert verdict.line == "stable: temperature 301 ± 4 K, no broken bonds, heavy-atom RMSD 0.61 Å (largest 0.90)"


def test_a_broken_bond_comes_first() -> None:
    verdict = judge(make_results(names=("ALA2-N ALA2-H",)))
    assert not verdict.stable
    assert verdict.line.startswith("NOT stable: 1 bond broken (first ALA2-N ALA2-H), temperature")


def test_a_run_that_the_guard_stopped_says_so_first_and_why() -> None:
    verdict = judge(make_results(), stopped="step 500: 9000 K")
    assert not verdict.stable
    assert verdict.line.startswith("NOT stable: stopped by the guard (step 500: 9000 K), temperature 301")


@pytest.mark.parametrize(
    ("kelvin", "error", "converged", "outcome"),
    [
        (309.0, 1.0, 1, Outcome.PASSED),
        (313.0, 2.0, 1, Outcome.PASSED),
        (313.0, 1.0, 1, Outcome.FAILED),
        (285.0, 1.0, 1, Outcome.FAILED),
        (313.0, 1.0, 0, Outcome.UNDECIDED),
        (337.0, 1.0, 0, Outcome.UNDECIDED),
        (339.0, 1.0, 0, Outcome.FAILED),
        (560.0, 10.0, 0, Outcome.FAILED),
    ],
)
def test_temperature_is_judged_by_its_error(kelvin: float, error: float, converged: int, outcome: Outcome) -> None:
    verdict = judge(make_results(kelvin, error, converged))
    assert verdict.checks[0].outcome is outcome
    assert verdict.stable is (outcome is not Outcome.FAILED)


def test_a_hot_run_says_so() -> None:
    assert judge(make_results(560.0)).line.startswith("NOT stable: temperature 560 ± 4 K (hotter than 300 K)")


def test_too_many_stretched_bonds_are_named() -> None:
    results = make_results()
    results["bonds"] = make_result("bonds", broken_ever=0, broken_names=[], stretched_fraction=0.02)
    assert judge(results).line.startswith("NOT stable: 2 % of bonds stretched")


def test_limits_can_be_changed() -> None:
    assert not judge(make_results(), Limits(rmsd_angstrom=0.5)).stable


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge({"rmsd": make_results()["rmsd"]}).line == "stable: heavy-atom RMSD 0.61 Å (largest 0.90)"
    assert judge({}).line.startswith("not judged")


@pytest.mark.parametrize(
    ("bent", "outcome"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0], Outcome.PASSED),
        ([1, 1, 1, 1, 1, 1, 0, 0], Outcome.PASSED),  # bent for a while
        ([0, 0, 0, 0, 0, 0, 1, 0], Outcome.PASSED),  # seen once
        ([0, 0, 0, 0, 1, 1, 1, 1], Outcome.CAUTION),
    ],
)
def test_an_angle_that_stays_bent_calls_for_caution(bent: list[int], outcome: Outcome) -> None:
    names = np.array([["HOH75-H1 HOH75-O HOH75-H2"]])
    result = make_result("angles", bent=bent, bent_degrees=40.0, bent_names=names)
    verdict = judge({"angles": result})
    assert verdict.stable
    assert verdict.checks[0].outcome is outcome
    assert ("stays bent by more than 40° (most: HOH75-H1" in verdict.line) is (outcome is Outcome.CAUTION)


def make_drift(drift: float, error: float) -> dict[str, Result]:
    return {"energy": make_result("energy", potential_drift=drift, potential_drift_error=error)}


@pytest.mark.parametrize(
    ("drift", "error", "outcome", "says"),
    [
        (0.02, 0.11, Outcome.PASSED, "no drift (0.02 ± 0.11 meV/atom/ps)"),
        (3.0249, 1.0981, Outcome.UNDECIDED, "drift 3.0 ± 1.1 meV/atom/ps (run too short to be sure)"),
        (-0.8, 1.0, Outcome.UNDECIDED, "drift -0.8 ± 1.0 meV/atom/ps (run too short to be sure)"),
        (3.4, 1.0981, Outcome.CAUTION, "potential energy drifting by 3.4 ± 1.1 meV/atom/ps"),
        (628.0, 128.0, Outcome.CAUTION, "potential energy drifting by 628 ± 128 meV/atom/ps"),
        (9.0, np.nan, Outcome.UNDECIDED, "too few rows for a drift"),
    ],
)
def test_a_drift_is_absent_only_where_its_error_rules_it_out(
    drift: float, error: float, outcome: Outcome, says: str
) -> None:
    (check,) = judge(make_drift(drift, error)).checks
    assert (check.outcome, check.says) == (outcome, says)


def test_an_unknown_error_is_not_written() -> None:
    verdict = judge(make_results(error=np.nan, converged=0))
    assert verdict.line.startswith("stable: temperature 301 K (run too short to be sure), ")
    assert not any("nan" in text for check in verdict.checks for text in (check.says, check.limit))


def test_a_hot_run_is_not_stable_although_its_error_is_unknown() -> None:
    """Of two or three rows there is an average and a fluctuation but no error."""
    assert not judge(make_results(kelvin=560.0, error=np.nan, converged=0)).stable
    assert judge(make_results(kelvin=337.0, error=np.nan, converged=0)).stable
