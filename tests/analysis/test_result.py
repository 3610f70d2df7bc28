"""Results go to disk and come back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from orbmm.analysis import Result, read_result
from orbmm.errors import AnalysisError


def make_result() -> Result:
    values = {
        "time": np.array([0.0, 0.5, 1.0]),
        "height": np.array([1.5, 2.5, np.pi]),
        "mean": np.array(2.0),
        "mean_error": np.array(np.nan),
        "matrix": np.eye(2),
        "names": np.array(["A-B"]),
    }
    units = {
        "time": "ps",
        "height": "angstrom",
        "mean": "angstrom",
        "mean_error": "angstrom",
        "matrix": "",
        "names": "",
    }
    return Result("heights", "Measured with a ruler.", "time", values, units, 3)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    make_result().write(tmp_path)
    back = read_result(tmp_path / "heights.npz")
    assert (back.name, back.method, back.axis, back.units, back.frames) == (
        "heights", "Measured with a ruler.", "time", make_result().units, 3,
    )  # fmt: skip
    for name, value in make_result().values.items():
        np.testing.assert_array_equal(back.values[name], value)


def test_the_table_has_the_columns_with_their_units(tmp_path: Path) -> None:
    make_result().write(tmp_path)
    with (tmp_path / "heights.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["time [ps]", "height [angstrom]"]
    assert float(rows[2][1]) == np.pi and len(rows) == 3


def test_the_summary_is_plain_json() -> None:
    summary = json.loads(json.dumps(make_result().summarise(), allow_nan=False))
    assert summary["numbers"]["mean"] == {"value": 2.0, "unit": "angstrom"}
    assert summary["numbers"]["mean_error"]["value"] is None
    assert summary["names"] == ["A-B"] and summary["method"] == "Measured with a ruler."


def test_a_value_without_a_unit_is_refused() -> None:
    with pytest.raises(AnalysisError, match="every value needs a unit"):
        Result("heights", "", "time", {"time": np.zeros(1)}, {}, 1)


def test_another_file_is_no_result(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(AnalysisError, match="not a result of orbmm analyze"):
        read_result(tmp_path / "other.npz")
