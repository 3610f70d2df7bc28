"""The result of an observable: numbers with units, their number of frames, and one sentence on the method."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orbmm.errors import AnalysisError, MissingDependency
from orbmm.outputs import OutputFolder
from orbmm.plain_text import guard_cell

if TYPE_CHECKING:
    from pandas import DataFrame


HEADINGS: Mapping[str, Mapping[str, str]] = {
    "Structure": {
        "rmsd": "RMSD from the start",
        "crystal_rmsd": "RMSD from the crystal structure",
        "bonds": "Bond lengths",
        "angles": "Bond angles",
        "radius_of_gyration": "Radius of gyration",
        "rmsf": "Fluctuation of each residue (RMSF)",
        "secondary_structure": "Secondary structure",
        "native_contacts": "Native contacts",
        "ramachandran": "Ramachandran plot",
    },
    "Metal site and chemistry": {
        "metal_site": "Metal site",
        "carbon_dioxide": "Carbon dioxide",
        "protonation": "Protonation",
        "water_wire": "Water wire",
        "bond_events": "Bonds formed and broken",
        "hydrogen_bonds": "Hydrogen bonds",
    },
    "Energy, temperature and confidence": {
        "temperature": "Temperature",
        "energy": "Potential and total energy",
        "equipartition": "Temperature of each element",
        "confidence": "Confidence of the model",
    },
    "Water": {
        "rdf_oo": "Radial distribution of water, O–O",
        "rdf_oh": "Radial distribution of water, O–H",
        "density": "Density",
        "diffusion": "Diffusion of water",
    },
}
"""The headings of the observables, by subject and name."""
TITLES: Mapping[str, str] = {name: title for titles in HEADINGS.values() for name, title in titles.items()}
_UNITS = {"nm3": "nm³", "g/cm3": "g/cm³", "1e-9 m2/s": "10⁻⁹ m²/s"}
_QUANTITIES = {
    "xh_length": "X–H bond length",
    "xh_length_largest": "X–H bond length, largest",
    "xh_spread": "X–H bond length, spread",
    "broken_at_end": "broken, end",
    "bent_degrees": "bent beyond",
    "left_mean": "left-handed, mean",
    "rmsf_mean": "RMSF, mean",
    "rmsf_largest": "RMSF, largest",
    "hop_count": "proton hops",
    "unconfirmed": "unconfirmed hops",
    "event_count": "events",
    "fit_start": "fit from",
    "per_water": "hydrogen bonds per water",
    "water_water_mean": "between waters, mean",
    "solute_water_mean": "solute and water, mean",
    "solute_solute_mean": "within the solute, mean",
    "kelvin": "all atoms",
}
_QUALIFIER = re.compile(r"(?<=.) (mean|start|end|last|ever|smallest|largest)$")
_ROWS = ("temperature", "energy", "confidence")  # of files with a row for each record, no frames


class NothingToMeasure(AnalysisError):
    """The system has no part that the observable speaks of (no water, no solute): left out, not a failure."""


def find_title(name: str) -> str:
    """Return the heading of an observable; of one that has none, its name in words."""
    return TITLES.get(name, name.replace("_", " "))


def write_error(value: float, error: float, digits: int | None = None) -> str:
    """Return a value with its standard error, or alone where the error is unknown.

    digits: decimals of both; None for as many as show the error with two figures, two if it is unknown or zero
    """
    if digits is None:
        known = math.isfinite(error) and error > 0.0
        digits = min(6, max(0, 1 - math.floor(math.log10(error)))) if known else 2
    error_text = f" ± {error:.{digits}f}" if math.isfinite(error) else ""
    return f"{value:z.{digits}f}{error_text}"  # z: no sign before a zero


def name_quantity(name: str) -> str:
    """Return the name of a number in words."""
    return _QUANTITIES.get(name) or _QUALIFIER.sub(r", \1", name.replace("_", " "))


def write_unit(unit: str) -> str:
    """Return a unit as people write it; files keep it in ASCII."""
    return _UNITS.get(unit, unit.replace("angstrom2", "Å²").replace("angstrom", "Å"))


@dataclass(frozen=True)
class Row:
    """One number of a result. error: its standard error in the same unit; None where it has none or an unknown one."""

    quantity: str
    value: float
    error: float | None
    unit: str

    @property
    def text(self) -> str:
        """Return the value, with its error where it has one."""
        return f"{self.value:.5g}" if self.error is None else write_error(self.value, self.error)


@dataclass(frozen=True, repr=False)
class Result:
    """One observable; in a notebook it shows its numbers as a table, and `print` writes the same as text.

    axis: the value that the columns run along ("time", "radius").
    values: by shape, () a number, (F,) like the axis a column, anything else a further array.
    units: one for every value, "" for counts, ratios and texts.
    frames: how many frames or rows the numbers come from.
    """

    name: str
    method: str
    axis: str
    values: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    frames: int

    def __post_init__(self) -> None:
        if self.axis not in self.values or set(self.values) != set(self.units):
            raise AnalysisError(f"result {self.name}: every value needs a unit, and the axis '{self.axis}' a value")

    @staticmethod
    def of(
        name: str, method: str, axis: str, values: Mapping[str, ArrayLike], units: Mapping[str, str], frames: int
    ) -> Result:
        """Return a Result of values that NumPy can make arrays of; a value that units leave out has none.

        Raises AnalysisError for a unit of a value that is not there.
        """
        absent = sorted(set(units) - set(values))
        if absent:
            raise AnalysisError(f"result {name}: units for {', '.join(absent)}, which are not among its values")
        arrays = {key: np.asarray(value) for key, value in values.items()}
        return Result(name, method, axis, arrays, dict.fromkeys(values, "") | dict(units), frames)

    def number(self, name: str) -> float:
        """Return one of the numbers, as a float."""
        return float(self.values[name])

    @property
    def title(self) -> str:
        """Return the heading."""
        return find_title(self.name)

    @property
    def source(self) -> str:
        """Return the method, and how many frames or rows the numbers come from."""
        kind = "row" if self.name in _ROWS else "checkpoint" if self.name == "equipartition" else "frame"
        return f"{self.method} {self.frames} {kind}{'' if self.frames == 1 else 's'}."

    @property
    def numbers(self) -> dict[str, float]:
        """Return every value of shape (), by name."""
        return {name: float(value) for name, value in self.values.items() if value.ndim == 0}

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Return every value as long as the axis, the axis first."""
        length = self.values[self.axis].shape
        names = [self.axis, *(name for name in self.values if name != self.axis)]
        return {name: self.values[name] for name in names if self.values[name].shape == length}

    def rows(self) -> list[Row]:
        """Return the numbers in words, each with its error and unit, for a table."""
        numbers = self.numbers
        errors = {name: value for name, value in numbers.items() if name.endswith("_error")}
        return [
            Row(
                name_quantity(name),
                value,
                error if math.isfinite(error := errors.get(f"{name}_error", math.nan)) else None,
                write_unit(self.units[name]),
            )
            for name, value in numbers.items()
            if name not in errors
        ]

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns as lists of plain numbers, by name, the axis first."""
        return {name: column.tolist() for name, column in self.columns.items()}

    def to_dataframe(self) -> DataFrame:
        """Return the columns as a table of pandas; its `attrs` hold the name, the method and the units.

        Raises MissingDependency where pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingDependency(
                "to_dataframe needs the package pandas: pip install pandas, or use to_dict()"
            ) from error
        table = pandas.DataFrame(self.columns)
        table.attrs = {"name": self.name, "method": self.method, "units": {name: self.units[name] for name in table}}
        return table

    def __repr__(self) -> str:
        return f"<Result {self.name}: {len(self.rows())} numbers, {len(self.columns)} columns, {self.frames} frames>"

    def __str__(self) -> str:
        """Return the numbers as a table of text under the name, and the method."""
        rows = [(row.quantity, row.text, row.unit) for row in self.rows()]
        wide = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [f"  {name:<{wide[0]}}  {text:>{wide[1]}}  {unit}".rstrip() for name, text, unit in rows]
        return "\n".join([self.title, *lines, self.source])

    def _repr_html_(self) -> str:
        """Return the table for a notebook; `orbmm.report.show_result` adds the figure."""
        rows = "".join(
            f"<tr><td style='text-align: left'>{escape(row.quantity)}</td>"
            f"<td>{escape(row.text)}</td><td style='text-align: left'>{escape(row.unit)}</td></tr>"
            for row in self.rows()
        )
        caption = f"<caption><b>{escape(self.title)}</b></caption>"
        return f"<table>{caption}{rows}</table><p>{escape(self.source)}</p>"

    def summarise(self) -> dict[str, Any]:
        """Return method, frames, numbers with units and texts, ready for JSON (a number that is not finite becomes
        null).
        """
        numbers = {
            name: {"value": value if math.isfinite(value) else None, "unit": self.units[name]}
            for name, value in self.numbers.items()
        }
        texts = {name: value.tolist() for name, value in self.values.items() if value.dtype.kind == "U" and value.ndim}
        return {"method": self.method, "frames": self.frames, "numbers": numbers, **texts}

    def write(self, folder: Path) -> None:
        """Write NAME.csv (the columns, for people) and NAME.npz (everything exactly, for `read_result`).

        Texts in NAME.csv that a spreadsheet would run as formulas begin with '.
        Raises OutputError where one of them was not written by orbmm.
        """
        OutputFolder(folder).write(self.format())

    def format(self) -> dict[str, bytes]:
        """Return the content of NAME.csv and of NAME.npz."""
        table, archive = io.StringIO(newline=""), io.BytesIO()
        writer = csv.writer(table)
        writer.writerow([f"{name} [{self.units[name]}]" if self.units[name] else name for name in self.columns])
        writer.writerows(zip(*(map(guard_cell, column.tolist()) for column in self.columns.values()), strict=True))
        about = {"method": self.method, "axis": self.axis, "units": dict(self.units), "frames": self.frames}
        arrays: dict[str, Any] = {"about": json.dumps(about), **self.values}
        np.savez_compressed(archive, **arrays)
        return {f"{self.name}.csv": table.getvalue().encode(), f"{self.name}.npz": archive.getvalue()}


def read_result(path: Path) -> Result:
    """Return a Result from its NAME.npz.

    Raises AnalysisError for a file that is missing or not written by `Result.write`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in archive.files}
        about = json.loads(str(values.pop("about")))
        return Result(path.stem, about["method"], about["axis"], values, about["units"], about["frames"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise AnalysisError(f"{path}: not a result of orbmm analyze ({error}); run orbmm analyze again") from error
