"""Tables of energies, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.synthetic import COLUMNS

from orbmm.errors import AnalysisError
from orbmm.run_files.energies import EnergyRow, format_header, format_row, read_energy_table

ROWS = ["0,0.0,-10.0,4.0,-6.0,300.0,nan", "20,0.01,-9.0,3.0,-6.0,225.0,1.5"]


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "energies.csv"
    path.write_text("\n".join(lines))
    return path


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    table = read_energy_table(write_table(tmp_path, COLUMNS, *ROWS))
    assert table.time_ps.tolist() == [0.0, 0.01]
    assert table.potential.tolist() == [-10.0, -9.0] and table.kinetic.tolist() == [4.0, 3.0]
    assert table.total.tolist() == [-6.0, -6.0] and table.temperature.tolist() == [300.0, 225.0]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "time_ps is absent; found: an empty file"),
        (["step,time_ps", "0,0.0"], "the column potential_energy_kJ_mol is absent"),
        ([COLUMNS], "no rows"),
        ([COLUMNS, *ROWS, "40,0.02,-9.0"], "line 4 is torn, with 3 of 7 columns"),
        ([COLUMNS, *ROWS, "40,0.02,-9.0,3.0,-6.0,x,1.5"], "line 4 holds something that is not a number"),
        ([COLUMNS, *ROWS, "40,0.02,nan,3.0,-6.0,225.0,1.5"], "line 4 holds a value that is not finite"),
        (
            [COLUMNS, *ROWS, "40,0.02,1e308,3.0,-6.0,225.0,1.5"],
            "line 4 holds a value that is not finite, or far too large",
        ),
        ([COLUMNS, *ROWS, "4" * 200_000], "cannot be read as a table of energies"),
        ([COLUMNS, *ROWS, *ROWS], "times do not increase after 0.01 ps"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, lines: list[str], complaint: str) -> None:
    with pytest.raises(AnalysisError, match=complaint):
        read_energy_table(write_table(tmp_path, *lines))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="cannot be read as a table of energies"):
        read_energy_table(tmp_path / "energies.csv")


def test_temperatures_of_elements_are_read_where_the_table_has_them(tmp_path: Path) -> None:
    header = format_header(volume=True, elements=("H", "Zn"))
    rows = [
        EnergyRow(20 * i, 0.01 * i, -10.0, 4.0, 300.0, 1.5, volume=2.0, of_elements=(310.0 + i, 290.0)) for i in (0, 1)
    ]
    table = read_energy_table(write_table(tmp_path, header + "".join(map(format_row, rows))))
    assert {symbol: series.tolist() for symbol, series in table.of_elements.items()} == {
        "H": [310.0, 311.0],
        "Zn": [290.0, 290.0],
    }
    assert table.start_at(0.0).of_elements.keys() == {"H", "Zn"}
    assert not read_energy_table(write_table(tmp_path, COLUMNS, *ROWS)).of_elements
