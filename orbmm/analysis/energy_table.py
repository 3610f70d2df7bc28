"""energies.csv of a run, read and checked."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError

_COLUMNS = {
    "time_ps": "time_ps",
    "potential": "potential_energy_kJ_mol",
    "kinetic": "kinetic_energy_kJ_mol",
    "total": "total_energy_kJ_mol",
    "temperature": "temperature_K",
}
_TOO_LARGE = 1e100  # sums of squares of smaller numbers are finite


@dataclass(frozen=True)
class EnergyTable:
    """Energies along a run: times (R,) [ps], energies (R,) [kJ/mol], temperatures (R,) [K]."""

    time_ps: NDArray[np.float64]
    potential: NDArray[np.float64]
    kinetic: NDArray[np.float64]
    total: NDArray[np.float64]
    temperature: NDArray[np.float64]

    def start_at(self, time_ps: float) -> EnergyTable:
        """The rows from a time on. Raises AnalysisError when fewer than two are left."""
        keep = self.time_ps >= time_ps
        if np.count_nonzero(keep) < 2:
            raise AnalysisError(
                f"energies.csv has {np.count_nonzero(keep)} of {len(keep)} rows from {time_ps:g} ps on, "
                "too few to average; discard less, or let the run go on"
            )
        return EnergyTable(*(getattr(self, name)[keep] for name in _COLUMNS))


def read_energy_table(path: Path, growing: bool = False) -> EnergyTable:
    """The table of a run. growing: the run still writes, so that a torn last row is left out.

    Raises AnalysisError: file missing, a column absent, no rows, a torn or unreadable row, a value that is not
    finite, times that do not increase.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnalysisError(f"{path}: cannot be read as a table of energies ({error})") from error
    absent = [name for name in _COLUMNS.values() if name not in header]
    if absent:
        raise AnalysisError(f"{path}: the column {absent[0]} is absent; found: {', '.join(header) or 'an empty file'}")
    if growing and rows and not _is_whole(path, rows[-1], len(header)):
        rows = rows[:-1]
    if not rows:
        raise AnalysisError(f"{path}: no rows; the run stopped before its first one")
    places = [header.index(name) for name in _COLUMNS.values()]
    numbers = [_read_row(path, line, row, len(header), places) for line, row in enumerate(rows, start=2)]
    table = EnergyTable(*np.array(numbers).T)
    if np.any(np.diff(table.time_ps) <= 0.0):
        raise AnalysisError(f"{path}: times do not increase after {_first_fall(table.time_ps):g} ps; two runs in one?")
    return table


def _is_whole(path: Path, row: list[str], width: int) -> bool:
    """Tell whether the last row has all its columns and ends its line."""
    with path.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return len(row) == width and file.read() == b"\n"


def _read_row(path: Path, line: int, row: list[str], width: int, places: list[int]) -> list[float]:
    if len(row) != width:
        raise AnalysisError(f"{path}: line {line} is torn, with {len(row)} of {width} columns; take it out")
    try:
        values = [float(row[place]) for place in places]
    except ValueError as error:
        raise AnalysisError(f"{path}: line {line} holds something that is not a number ({error})") from error
    if not (np.abs(values) < _TOO_LARGE).all():
        raise AnalysisError(
            f"{path}: line {line} holds a value that is not finite, or far too large; the run went wrong before it"
        )
    return values


def _first_fall(time_ps: NDArray[np.float64]) -> float:
    return float(time_ps[int(np.argmax(np.diff(time_ps) <= 0.0))])
