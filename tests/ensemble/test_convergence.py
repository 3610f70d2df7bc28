"""The mean by number and by length of the replicas, against NumPy; a figure and a page that show it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from orbmm.ensemble.convergence import PARTS, choose_numbers, compute_convergence, format_convergence, read_parts
from orbmm.ensemble.page import format_ensemble_page
from orbmm.ensemble.spread import Measured, Value, compute_spreads

KEY = ("temperature", "mean")
FRAMES, DISCARD_PS = 60, 0.2


@pytest.fixture
def series() -> np.ndarray:
    """Temperatures of six replicas (6, F), of which the last one is far from the others."""
    return np.random.default_rng(3).normal(300.0, 5.0, (6, FRAMES)) + np.array([0, 1, 2, -1, -2, 90])[:, None]


@pytest.fixture
def replicas(series: np.ndarray, tmp_path: Path) -> list[Measured]:
    """The replicas, read from tables as an analysis leaves them."""
    found = []
    for number, column in enumerate(series):
        mean = float(column[20:].mean())
        summary = {
            "discard_ps": DISCARD_PS,
            "results": {
                "temperature": {"numbers": {"mean": {"value": mean, "unit": "K"}}},
                "rdf_oo": {"numbers": {"first_peak": {"value": 2.0, "unit": ""}}},
            },
        }
        rows = "".join(f"{index * 0.01},{value},1.0\n" for index, value in enumerate(column))
        (tmp_path / "temperature.csv").write_text(f"time [ps],temperature [K],other\n{rows}")
        parts = read_parts(tmp_path, summary)
        found.append(Measured(f"seed-{number}", "hot", True, {KEY: Value(mean, "K", 1.0)}, parts))
    return found


def test_parts_are_means_of_the_first_frames_after_the_discarded_ones(
    replicas: list[Measured], series: np.ndarray
) -> None:
    used = series[:, 20:]
    expected = [[used[:, : round(part * 40)].mean(axis=1)[number] for part in PARTS] for number in range(6)]
    assert np.allclose([one.parts[KEY] for one in replicas], expected, rtol=1e-12)
    assert all(set(one.parts) == {KEY} for one in replicas)


def test_a_number_that_is_no_mean_of_its_column_has_no_parts(tmp_path: Path) -> None:
    rows = "".join(f"{index},{index}\n" for index in range(20))
    (tmp_path / "temperature.csv").write_text(f"time [ps],temperature [K]\n{rows}")
    numbers = {"mean": {"value": 9.6, "unit": "K"}}
    summary = {"discard_ps": None, "results": {"temperature": {"numbers": numbers}, "absent": {"numbers": {}}}}
    assert read_parts(tmp_path, summary) == {}
    numbers["mean"]["value"] = 9.5
    assert read_parts(tmp_path, summary)[KEY] == (2.0, 4.5, 7.0, 9.5)


def test_the_steps_are_the_numbers_of_a_textbook(replicas: list[Measured], series: np.ndarray) -> None:
    steps = compute_convergence(replicas)
    whole, half = series[:, 20:].mean(axis=1), series[:, 20:40].mean(axis=1)
    three = next(one for one in steps if (one.replicas, one.part) == (3, 1.0))
    assert three.mean == pytest.approx(whole[:3].mean())
    assert three.error == pytest.approx(whole[:3].std(ddof=1) / np.sqrt(3))
    middle = next(one for one in steps if one.part == 0.5)
    assert (middle.replicas, middle.mean) == (6, pytest.approx(half.mean()))
    assert middle.mean != pytest.approx(whole.mean())
    rows = list(csv.DictReader(io.StringIO(format_convergence(steps).decode())))
    assert len(rows) == 6 + 3 and rows[0]["spread"] == "" and rows[5]["replicas"] == "6"
    assert float(rows[5]["mean"]) == pytest.approx(compute_spreads(replicas)[0].mean)


def test_many_replicas_have_few_steps_and_all_of_them_the_last() -> None:
    assert choose_numbers(1) == [1] and choose_numbers(4) == [1, 2, 3, 4]
    assert choose_numbers(1000)[0] == 1 and choose_numbers(1000)[-1] == 1000 and len(choose_numbers(1000)) <= 12


def test_the_page_has_a_figure_that_names_the_outlier_and_links(replicas: list[Measured]) -> None:
    spreads, steps = compute_spreads(replicas), compute_convergence(replicas)
    links = {one.name: f"{one.name}.html" for one in replicas}
    page = format_ensemble_page("water", replicas, spreads, [], links, steps)
    assert page.count("data:image/svg+xml") == 1
    assert re.search(r"<a href='seed-5.html'>seed-5</a>; far from the others: Temperature: mean", page)
    assert "data:image/svg+xml" not in format_ensemble_page("water", replicas, spreads, [], links)
