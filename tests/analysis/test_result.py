"""Results go to disk and come back."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from orbmm.analysis import Result, read_result
from orbmm.analysis.result import write_error
from orbmm.errors import AnalysisError, MissingDependency


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


def test_values_that_units_leave_out_have_none() -> None:
    result = Result.of("heights", "Measured.", "time", {"time": [0.0, 1.0], "count": 3}, {"time": "ps"}, 2)
    assert result.units == {"time": "ps", "count": ""} and result.number("count") == 3.0
    assert result.columns["time"].tolist() == [0.0, 1.0]


def test_a_unit_of_no_value_is_refused() -> None:
    with pytest.raises(AnalysisError, match="units for hieght, which are not among its values"):
        Result.of("heights", "Measured.", "time", {"time": [0.0]}, {"time": "ps", "hieght": "angstrom"}, 1)


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


def test_a_name_that_a_spreadsheet_would_run_is_text_in_the_table(tmp_path: Path) -> None:
    names = np.array(["=1+1", "CA", "@A1", "+X", "-Y"])
    values = {"residue": names, "height": np.array([-1.0, 2.0, 3.0, 4.0, 5.0])}
    Result("heights", "", "residue", values, {"residue": "", "height": "angstrom"}, 1).write(tmp_path)
    cells = [line.split(",") for line in (tmp_path / "heights.csv").read_text().splitlines()[1:]]
    assert [cell[0] for cell in cells] == ["'=1+1", "CA", "'@A1", "'+X", "'-Y"]
    assert [float(cell[1]) for cell in cells] == values["height"].tolist()
    assert read_result(tmp_path / "heights.npz").values["residue"].tolist() == names.tolist()


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


def test_numbers_are_shown_with_their_unit_and_a_known_error() -> None:
    values = {"time": np.zeros(1), "mean": np.array(300.12345), "mean_error": np.array(2.345), "peak": np.array(2.8)}
    units = {"time": "ps", "mean": "K", "mean_error": "K", "peak": "angstrom"}
    result = Result("bath_check", "By <hand>.", "time", values, units, 1)
    assert [(row.quantity, row.text, row.unit) for row in result.rows()] == [
        ("mean", "300.1 ± 2.3", "K"),
        ("peak", "2.8", "Å"),
    ]
    lines = ["bath check", "  mean  300.1 ± 2.3  K", "  peak          2.8  Å", "By <hand>. 1 frame."]
    assert str(result).splitlines() == lines
    html = result._repr_html_()
    assert ">300.1 ± 2.3</td>" in html and "By &lt;hand&gt;." in html and "<hand>" not in html


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.0249, 1.0981, "3.0 ± 1.1"),
        (628.1, 128.2, "628 ± 128"),
        (0.0123, 0.00042, "0.01230 ± 0.00042"),
        (-1275755.1, 12.3, "-1275755 ± 12"),
        (300.0, np.nan, "300.00"),
        (2.0, 0.0, "2.00 ± 0.00"),
        (-0.2, 11.3, "0 ± 11"),
    ],
)
def test_a_value_has_as_many_decimals_as_its_error(value: float, error: float, text: str) -> None:
    assert write_error(value, error) == text


def test_units_and_quantities_are_written_for_people() -> None:
    units = {"time": "ps", "area": "angstrom2", "volume_mean": "nm3", "xh_length": "eV/angstrom", "speed": "1e-9 m2/s"}
    units["kelvin"] = "K"
    result = Result("boxes", "By hand.", "time", {name: np.array(1.0) for name in units}, units, 1)
    rows = {row.quantity: row.unit for row in result.rows()}
    assert rows == {
        "time": "ps", "area": "Å²", "volume, mean": "nm³", "X–H bond length": "eV/Å", "speed": "10⁻⁹ m²/s",
        "all atoms": "K",
    }  # fmt: skip


def test_an_error_that_is_not_known_is_not_shown() -> None:
    (row,) = make_result().rows()
    assert (row.text, row.error) == ("2", None)
    assert "nan" not in str(make_result()) + make_result()._repr_html_()


def test_a_result_without_numbers_still_shows_itself() -> None:
    result = Result("empty", "Nothing.", "time", {"time": np.zeros(2)}, {"time": "ps"}, 2)
    assert str(result) == "empty\nNothing. 2 frames."
    assert repr(result) == "<Result empty: 0 numbers, 1 columns, 2 frames>"


def test_the_columns_are_handed_on_as_plain_lists() -> None:
    assert make_result().to_dict() == {"time": [0.0, 0.5, 1.0], "height": [1.5, 2.5, np.pi]}


def test_the_columns_become_a_table_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = make_result().to_dataframe()
    assert isinstance(table, pandas.DataFrame) and list(table) == ["time", "height"]
    assert table["height"].tolist() == [1.5, 2.5, np.pi]
    assert table.attrs["units"] == {"time": "ps", "height": "angstrom"}


def test_without_pandas_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match=r"pip install pandas, or use to_dict\(\)"):
        make_result().to_dataframe()
