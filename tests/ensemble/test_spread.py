"""Mean, spread and standard error between replicas, against Python's own statistics."""

from __future__ import annotations

import csv
import io
import math
import statistics
from contextlib import nullcontext

import numpy as np
import pytest

from orbmm.ensemble.analyze import _check_alike, read_numbers
from orbmm.ensemble.layout import Member
from orbmm.ensemble.page import is_sound, tell_verdict
from orbmm.ensemble.spread import (
    Measured,
    Value,
    compute_spreads,
    find_outliers,
    format_table,
    group_varying,
    list_entries,
)
from orbmm.ensemble.state import ReplicaState
from orbmm.errors import AnalysisError

KEY = ("rmsf", "rmsf_mean")


def _measure(values: list[float], point: str = "", within: float = math.nan) -> list[Measured]:
    return [
        Measured(f"{point}-{number}", point, True, {KEY: Value(value, "nm", within)})
        for number, value in enumerate(values)
    ]


def test_the_numbers_are_those_of_a_textbook() -> None:
    values = np.random.default_rng(1).normal(3.0, 0.5, 12).tolist()
    (one,) = compute_spreads(_measure(values, within=0.3))
    assert one.count == 12 and one.unit == "nm"
    assert one.mean == pytest.approx(statistics.fmean(values))
    assert one.spread == pytest.approx(statistics.stdev(values))
    assert one.error == pytest.approx(statistics.stdev(values) / math.sqrt(12))
    assert one.within == pytest.approx(0.3)
    assert one.spread != pytest.approx(statistics.pstdev(values))  # of a population: another number


def test_one_replica_has_no_spread() -> None:
    (one,) = compute_spreads(_measure([2.0]))
    assert math.isnan(one.spread) and math.isnan(one.error) and one.text == "2"


def test_values_that_differ_by_rounding_have_no_spread() -> None:
    (one,) = compute_spreads(_measure([1.951959, 1.951959 * (1 + 2e-16)]))
    assert one.spread == 0.0


def test_a_point_is_compared_with_the_first() -> None:
    first, second = compute_spreads(_measure([1.0, 3.0], "cold") + _measure([4.0, 4.0, 7.0], "hot"))
    assert (first.point, second.point) == ("cold", "hot")
    assert math.isnan(first.difference) and first.difference_text == ""
    assert second.difference == pytest.approx(3.0)
    variances = statistics.variance([1.0, 3.0]) / 2 + statistics.variance([4.0, 4.0, 7.0]) / 3
    assert second.difference_error == pytest.approx(math.sqrt(variances))


def test_an_outlier_is_named_and_nothing_else() -> None:
    ordinary = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02]
    assert compute_spreads(_measure(ordinary))[0].outliers == ()
    assert compute_spreads(_measure([*ordinary, 3.0]))[0].outliers == ("-6",)
    assert find_outliers(np.array([1.0, 1.1, 9.0])) == []  # too few to say
    assert find_outliers(np.array([0.0, 0.0, 0.0, 0.0, 1.0])) == []


def test_a_number_that_some_replicas_lack_counts_those_that_have_it() -> None:
    replicas = [*_measure([1.0, 2.0]), Measured("other", "", True, {})]
    assert compute_spreads(replicas)[0].count == 2


def test_the_table_and_the_json_hold_the_same_numbers() -> None:
    spreads = compute_spreads(_measure([1.0, 3.0], "cold") + _measure([4.0], "=cmd()"))
    rows = list(csv.DictReader(io.StringIO(format_table(spreads).decode())))
    entries = list_entries(spreads)
    assert [row["mean"] for row in rows] == ["2.0", "4.0"] == [str(entry["mean"]) for entry in entries]
    assert (rows[1]["spread"], entries[1]["spread"]) == ("", None)
    assert rows[1]["point"] == "'=cmd()"  # no formula of a spreadsheet


def test_quantities_that_are_the_same_everywhere_are_not_shown() -> None:
    assert group_varying(compute_spreads(_measure([4.0, 4.0]))) == {}
    assert list(group_varying(compute_spreads(_measure([4.0, 4.1])))["rmsf"]) == ["rmsf_mean"]
    between = compute_spreads(_measure([4.0, 4.0], "cold") + _measure([5.0, 5.0], "hot"))
    assert len(group_varying(between)["rmsf"]["rmsf_mean"]) == 2


def test_errors_go_with_their_values_and_unknown_numbers_are_left_out() -> None:
    numbers = {
        "mean": {"value": 300.0, "unit": "K"},
        "mean_error": {"value": 2.0, "unit": "K"},
        "slope": {"value": None, "unit": ""},
    }
    found = read_numbers({"results": {"temperature": {"numbers": numbers}}})
    assert found == {("temperature", "mean"): Value(300.0, "K", 2.0)}


def test_without_the_first_point_there_is_no_difference() -> None:
    hot = _measure([4.0, 7.0], "hot")
    (one,) = compute_spreads(hot, ["cold", "hot"])
    assert math.isnan(one.difference)
    cold, compared = compute_spreads([*hot, *_measure([1.0, 3.0], "cold")], ["cold", "hot"])
    assert (cold.point, compared.difference) == ("cold", pytest.approx(3.5))


def test_numbers_with_different_units_have_no_mean() -> None:
    other = Measured("other", "", True, {KEY: Value(20.0, "Å")})
    with pytest.raises(AnalysisError, match="different units"):
        compute_spreads([*_measure([2.0]), other])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"inputs": {"input/structure.pdb": "other"}}, "another structure"),
        ({"weights_sha256": "other"}, "another weights"),
        ({"settings": {"run": {"length_ps": 2.0}}}, "another length_ps"),
    ],
)
def test_replicas_of_one_point_differ_in_their_seeds_alone(changed: dict[str, object], said: str | None) -> None:
    alike = {"inputs": {"input/structure.pdb": "a"}, "weights_sha256": "b", "settings": {"run": {"length_ps": 1.0}}}
    members = [Member("one", 1, {}), Member("two", 2, {}), Member("hot", 3, {"run.temperature_kelvin": "310"})]
    summaries = {"one": {"run": alike}, "two": {"run": alike | changed}, "hot": {"run": {}}}
    with pytest.raises(AnalysisError, match=f"two has {said}") if said else nullcontext():
        _check_alike(members, summaries)


@pytest.mark.parametrize(
    ("state", "outcome"), [("waiting", True), ("running", True), ("unstable", False), ("failed", False)]
)
def test_replicas_that_broke_are_in_the_verdict(state: str, outcome: bool) -> None:
    left = ReplicaState(Member("two", 2, {}), state, "", (-1, 0), 0.0, 1.0, 0.0)
    replicas = _measure([1.0])
    assert is_sound(replicas, [left]) == outcome
    said = tell_verdict(replicas, [left])
    assert said.startswith("1 of 2 replicas are complete and stable") and ("broke" in said) != outcome
