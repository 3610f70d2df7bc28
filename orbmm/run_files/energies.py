"""energies.csv of a run: rows of numbers, with the units in the column names."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError

COLUMNS = (
    "step",
    "time_ps",
    "potential_energy_kJ_mol",
    "kinetic_energy_kJ_mol",
    "total_energy_kJ_mol",
    "temperature_K",
)
LAST_COLUMN = "speed_ns_per_day"
VOLUME_COLUMN = "volume_nm3"
DISPERSION_COLUMN = "dispersion_energy_kJ_mol"
ROTATION_COLUMN = "rotational_gradient_kJ_mol"
_OF_ELEMENT = re.compile(r"temperature_([A-Z][a-z]?)_K")
_TOO_LARGE = 1e100  # sums of squares of smaller numbers are finite

_READ = dict(zip(("time_ps", "potential", "kinetic", "total", "temperature"), COLUMNS[1:], strict=True))


def format_header(volume: bool, dispersion: bool = False, elements: Sequence[str] = (), rotation: bool = False) -> str:
    """Return the first line.

    volume: whether there is a column for the volume of the box, as with a barostat
    dispersion: whether there is a column for the part of the potential energy that is the added dispersion
    elements: symbols, with a column for the temperature of each
    rotation: whether there is a column for the norm of the rotational gradient, as with conservative networks
    """
    optional = [*([VOLUME_COLUMN] if volume else []), *([DISPERSION_COLUMN] if dispersion else [])]
    optional += [f"temperature_{symbol}_K" for symbol in elements] + ([ROTATION_COLUMN] if rotation else [])
    return ",".join([*COLUMNS, *optional, LAST_COLUMN]) + "\n"


def find_elements(header: str) -> tuple[str, ...]:
    """Return the symbols of the elements whose temperature has a column; none in tables of older versions."""
    found = (_OF_ELEMENT.fullmatch(column) for column in header.strip().split(","))
    return tuple(match[1] for match in found if match)


def has_rotation(header: str) -> bool:
    """Return whether there is a column for the rotational gradient; not in tables of older versions."""
    return ROTATION_COLUMN in header.strip().split(",")


def format_row(row: EnergyRow) -> str:
    """Return the line of one step."""
    energies = (row.potential, row.kinetic, row.potential + row.kinetic)
    cells = [str(row.step), f"{row.time_ps:.6f}", *(f"{energy:.6f}" for energy in energies), f"{row.temperature:.3f}"]
    if row.volume is not None:
        cells.append(f"{row.volume:.6f}")
    if row.dispersion is not None:
        cells.append(f"{row.dispersion:.6f}")
    cells += [f"{temperature:.3f}" for temperature in row.of_elements]
    if row.rotation is not None:
        cells.append(f"{row.rotation:.6g}")
    return ",".join([*cells, f"{row.speed:.5g}"]) + "\n"


@dataclass(frozen=True)
class EnergyRow:
    """One row: energies [kJ/mol], temperature [K], speed [ns/day]; volume [nm^3], dispersion [kJ/mol] or None.

    of_elements: temperature of each element that has a column, in their order [K]
    rotation: norm of the rotational gradient [kJ/mol] or None
    """

    step: int
    time_ps: float
    potential: float
    kinetic: float
    temperature: float
    speed: float
    volume: float | None = None
    of_elements: Sequence[float] = ()
    dispersion: float | None = None
    rotation: float | None = None


@dataclass(frozen=True)
class EnergyTable:
    """Energies along a run: times (R,) [ps], energies (R,) [kJ/mol], temperatures (R,) [K].

    of_elements: temperature of each element (R,) [K], by its symbol; empty for a table of an older version
    """

    time_ps: NDArray[np.float64]
    potential: NDArray[np.float64]
    kinetic: NDArray[np.float64]
    total: NDArray[np.float64]
    temperature: NDArray[np.float64]
    of_elements: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def start_at(self, time_ps: float) -> EnergyTable:
        """Return the rows from a time on. Raises AnalysisError if fewer than two are left."""
        keep = self.time_ps >= time_ps
        if np.count_nonzero(keep) < 2:
            raise AnalysisError(
                f"energies.csv has {np.count_nonzero(keep)} of {len(keep)} rows from {time_ps:g} ps on, "
                "too few to average; discard less, or continue the run"
            )
        of_elements = {symbol: series[keep] for symbol, series in self.of_elements.items()}
        kept = EnergyTable(*(getattr(self, name)[keep] for name in _READ))
        return dataclasses.replace(kept, of_elements=of_elements)


def read_energy_table(path: Path, growing: bool = False) -> EnergyTable:
    """Read the table of a run. growing: the run still writes, so an incomplete last row is ignored.

    Raises AnalysisError for a missing file, an absent column, no rows, an incomplete or unreadable row, a value that is
    not finite, or times that do not increase.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnalysisError(f"{path}: cannot be read as a table of energies ({error})") from error
    absent = [name for name in _READ.values() if name not in header]
    if absent:
        raise AnalysisError(f"{path}: the column {absent[0]} is absent; found: {', '.join(header) or 'an empty file'}")
    if growing and rows and not _is_whole(path, rows[-1], len(header)):
        rows = rows[:-1]
    if not rows:
        raise AnalysisError(f"{path}: no rows; the run stopped before its first one")
    symbols = find_elements(",".join(header))
    positions = [header.index(name) for name in (*_READ.values(), *(f"temperature_{one}_K" for one in symbols))]
    numbers = [_read_row(path, line, row, len(header), positions) for line, row in enumerate(rows, start=2)]
    columns = np.array(numbers).T
    of_elements = dict(zip(symbols, columns[len(_READ) :], strict=True))
    table = dataclasses.replace(EnergyTable(*columns[: len(_READ)]), of_elements=of_elements)
    if np.any(np.diff(table.time_ps) <= 0.0):
        raise AnalysisError(f"{path}: times do not increase after {_first_fall(table.time_ps):g} ps; two runs in one?")
    return table


def _is_whole(path: Path, row: list[str], width: int) -> bool:
    """Return whether the last row has all its columns and ends with a line break."""
    with path.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return len(row) == width and file.read() == b"\n"


def _read_row(path: Path, line: int, row: list[str], width: int, positions: list[int]) -> list[float]:
    if len(row) != width:
        raise AnalysisError(f"{path}: line {line} is torn, with {len(row)} of {width} columns; remove it")
    try:
        values = [float(row[place]) for place in positions]
    except ValueError as error:
        raise AnalysisError(f"{path}: line {line} holds something that is not a number ({error})") from error
    if not (np.abs(values) < _TOO_LARGE).all():
        raise AnalysisError(
            f"{path}: line {line} holds a value that is not finite, or far too large; the run went wrong before it"
        )
    return values


def _first_fall(time_ps: NDArray[np.float64]) -> float:
    return float(time_ps[int(np.argmax(np.diff(time_ps) <= 0.0))])
