"""Follow every mean with the number of replicas, and with their length: does it still move by more than its error?"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbmm.ensemble.spread import Key, Measured, compute_deviation
from orbmm.plain_text import guard_cell

PARTS = (0.25, 0.5, 0.75, 1.0)
"""Parts of the frames that are averaged, from the first one on."""

_MEAN = "mean"
_MOST_NUMBERS = 12
_CLOSE = 1e-5  # relative: a table has fewer digits than the number
_LEAST_FRAMES = 8


@dataclass(frozen=True)
class Step:
    """The mean of one quantity over the first replicas, or over a first part of all of them.

    part: of the frames of each replica, 1 for all; spread: standard deviation between replicas, NaN for one
    """

    point: str
    observable: str
    quantity: str
    replicas: int
    part: float
    mean: float
    spread: float

    @property
    def error(self) -> float:
        """Return the standard error of the mean; NaN for one replica."""
        return self.spread / math.sqrt(self.replicas)


def compute_convergence(replicas: Sequence[Measured]) -> list[Step]:
    """Return the steps of every time average: first with the number of replicas, then with their length."""
    found = []
    for point in dict.fromkeys(one.point for one in replicas):
        here = [one for one in replicas if one.point == point]
        for key in dict.fromkeys(key for one in here for key in one.parts):
            parts = np.array([one.parts[key] for one in here if key in one.parts])  # (replicas, parts)
            found += [_measure(point, key, parts[:count, -1], 1.0) for count in choose_numbers(len(parts))]
            found += [_measure(point, key, parts[:, number], part) for number, part in enumerate(PARTS[:-1])]
    return found


def choose_numbers(count: int) -> list[int]:
    """Return numbers of replicas from 1 to all, at most twelve, further apart where there are many."""
    if count <= _MOST_NUMBERS:
        return list(range(1, count + 1))
    return sorted({round(number) for number in np.geomspace(1, count, _MOST_NUMBERS)})


def _measure(point: str, key: Key, values: NDArray[np.float64], part: float) -> Step:
    return Step(point, *key, len(values), part, float(values.mean()), compute_deviation(values))


def read_parts(folder: Path, summary: Mapping[str, Any]) -> dict[Key, tuple[float, ...]]:
    """Return the mean of each time average over the first PARTS of its frames, from the tables of an analysis.

    A number counts as one if it is the mean of a column of its table after the start that averages leave out.
    folder: of the analysis; summary: its results.json
    """
    discard_ps = float(summary.get("discard_ps") or 0.0)
    found = {}
    for observable, result in summary["results"].items():
        columns = _read_columns(folder / f"{observable}.csv")
        time = columns.pop("time", None)
        if time is None:
            continue
        for quantity, entry in result["numbers"].items():
            column = columns.get(observable if quantity == _MEAN else quantity.removesuffix(f"_{_MEAN}"))
            if column is None or entry["value"] is None or not quantity.endswith(_MEAN):
                continue
            used = column[time >= discard_ps]
            if len(used) >= _LEAST_FRAMES and math.isclose(used.mean(), entry["value"], rel_tol=_CLOSE):
                lengths = [max(1, round(part * len(used))) for part in PARTS]
                found[observable, quantity] = tuple(float(used[:length].mean()) for length in lengths)
    return found


def _read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a table by their names without units; nothing for one that holds anything but numbers."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        numbers = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    except (OSError, ValueError, csv.Error):
        return {}
    return {name.split(" [")[0]: column for name, column in zip(header, numbers.T, strict=True)}


COLUMNS = ("point", "observable", "quantity", "replicas", "part_of_length", "mean", "spread", "standard_error")


def format_convergence(steps: Sequence[Step]) -> bytes:
    """Return the steps as CSV. A number that is not known is an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for one in steps:
        numbers = [repr(number) if math.isfinite(number) else "" for number in (one.mean, one.spread, one.error)]
        cells = (one.point, one.observable, one.quantity, one.replicas, one.part, *numbers)
        writer.writerow([guard_cell(cell) for cell in cells])
    return stream.getvalue().encode()
