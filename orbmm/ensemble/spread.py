"""Compute mean, spread and standard error between the replicas of each point of a sweep.

Source of the outliers: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): the modified z-score.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from orbmm.analysis.result import find_title, name_quantity, write_error
from orbmm.errors import AnalysisError
from orbmm.plain_text import guard_cell

FEWEST_FOR_OUTLIERS = 5
LARGEST_SCORE = 3.5
_ROUNDING = 1e-12
_SCORE_OF_DEVIATION = 0.6745  # of a normal distribution: its median absolute deviation in standard deviations


@dataclass(frozen=True)
class Value:
    """One number of a replica. unit: "" for counts and ratios; within: its standard error in the replica, or NaN"""

    value: float
    unit: str
    within: float = math.nan


Key = tuple[str, str]
"""Observable and quantity."""

Numbers = Mapping[Key, Value]
"""The numbers of a replica."""


@dataclass(frozen=True)
class Measured:
    """A replica that was analysed.

    point: of the sweep, in words, "" without a sweep
    parts: of each time average, the means over the first parts of its frames
    """

    name: str
    point: str
    stable: bool
    numbers: Numbers
    parts: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """One quantity over the replicas of one point.

    count: replicas that have it; spread: standard deviation between replicas (NaN for one); error: standard error of
    the mean, spread / sqrt(count); within: root mean square of the standard errors inside the replicas, or NaN
    outliers: names of replicas far from the others; difference: of the mean from that of the first point, with its
    error; NaN for the first point itself
    """

    point: str
    observable: str
    quantity: str
    unit: str
    count: int
    mean: float
    spread: float
    error: float
    within: float
    outliers: tuple[str, ...] = ()
    difference: float = math.nan
    difference_error: float = math.nan

    @property
    def text(self) -> str:
        """Return the mean with its standard error."""
        return f"{self.mean:.5g}" if not math.isfinite(self.error) else write_error(self.mean, self.error)

    @property
    def difference_text(self) -> str:
        """Return the difference from the first point with its error; "" for the first point."""
        return write_error(self.difference, self.difference_error) if math.isfinite(self.difference) else ""


def compute_spreads(replicas: Sequence[Measured], points: Sequence[str] = ()) -> list[Spread]:
    """Return every quantity over the replicas of each point, in the order in which they come.

    points: all points of the sweep, in their order; the differences are from the first one, or unknown without it
    Raises AnalysisError for a quantity with different units.
    """
    points = list(points) or list(dict.fromkeys(one.point for one in replicas))
    keys = list(dict.fromkeys(key for one in replicas for key in one.numbers))
    found = []
    for observable, quantity in keys:
        first: Spread | None = None
        for point in points:
            chosen = [one for one in replicas if one.point == point and (observable, quantity) in one.numbers]
            if not chosen:
                continue
            spread = _compute_spread(point, observable, quantity, chosen)
            found.append(spread if first is None else _subtract(spread, first))
            first = spread if point == points[0] else first
    return found


def _compute_spread(point: str, observable: str, quantity: str, replicas: Sequence[Measured]) -> Spread:
    numbers = [one.numbers[observable, quantity] for one in replicas]
    if len({one.unit for one in numbers}) > 1:
        raise AnalysisError(f"{observable}: {quantity} has different units in the replicas: analyse all of them again")
    values = np.array([one.value for one in numbers])
    within = np.array([one.within for one in numbers])
    spread = compute_deviation(values)
    known = within[np.isfinite(within)]
    return Spread(
        point=point,
        observable=observable,
        quantity=quantity,
        unit=numbers[0].unit,
        count=len(values),
        mean=float(values.mean()),
        spread=spread,
        error=spread / math.sqrt(len(values)),
        within=float(np.sqrt(np.mean(known**2))) if len(known) else math.nan,
        outliers=tuple(replicas[number].name for number in find_outliers(values)),
    )


def compute_deviation(values: np.ndarray) -> float:
    """Return the standard deviation of values (n,), NaN for one; 0 where they differ by rounding alone."""
    if len(values) < 2:
        return math.nan
    deviation = float(values.std(ddof=1))
    return deviation if deviation > _ROUNDING * float(np.abs(values).max()) else 0.0


def find_outliers(values: np.ndarray) -> list[int]:
    """Return the indices of values (n,) far from the median; none among fewer than five, or if half are the same."""
    if len(values) < FEWEST_FOR_OUTLIERS:
        return []
    distances = np.abs(values - np.median(values))
    typical = float(np.median(distances))
    if typical == 0.0:
        return []
    return np.flatnonzero(_SCORE_OF_DEVIATION * distances / typical > LARGEST_SCORE).tolist()


def _subtract(spread: Spread, first: Spread) -> Spread:
    """Return the spread with the difference of its mean from that of the first point."""
    error = math.hypot(spread.error, first.error)
    return replace(spread, difference=spread.mean - first.mean, difference_error=error)


COLUMNS = (
    "point", "observable", "quantity", "unit", "replicas", "mean", "spread", "standard_error", "error_within_replicas",
    "difference_from_first_point", "difference_error", "outliers",
)  # fmt: skip


def format_table(spreads: Sequence[Spread]) -> bytes:
    """Return the spreads as CSV. A number that is not known is an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for one in spreads:
        numbers = (one.mean, one.spread, one.error, one.within, one.difference, one.difference_error)
        cells = [one.point, one.observable, one.quantity, one.unit, one.count]
        cells += [repr(number) if math.isfinite(number) else "" for number in numbers]
        writer.writerow([guard_cell(cell) for cell in [*cells, " ".join(one.outliers)]])
    return stream.getvalue().encode()


def list_entries(spreads: Sequence[Spread]) -> list[dict[str, object]]:
    """Return the spreads for JSON, with the columns of the CSV table; a number that is not known is null."""
    entries = []
    for one in spreads:
        numbers = (one.mean, one.spread, one.error, one.within, one.difference, one.difference_error)
        known: list[object] = [number if math.isfinite(number) else None for number in numbers]
        cells: list[object] = [one.point, one.observable, one.quantity, one.unit, one.count, *known, list(one.outliers)]
        entries.append(dict(zip(COLUMNS, cells, strict=True)))
    return entries


def describe_quantity(spread: Spread) -> str:
    """Return observable and quantity in words."""
    return f"{find_title(spread.observable)}: {name_quantity(spread.quantity)}"


def group_varying(spreads: Sequence[Spread]) -> dict[str, dict[str, list[Spread]]]:
    """Return the points of each quantity, by observable and quantity, without those that are the same everywhere.

    Those are settings and counts, such as the number of waters.
    """
    found: dict[str, dict[str, list[Spread]]] = {}
    for one in spreads:
        found.setdefault(one.observable, {}).setdefault(one.quantity, []).append(one)
    varying = {
        observable: {name: points for name, points in quantities.items() if _varies(points)}
        for observable, quantities in found.items()
    }
    return {observable: quantities for observable, quantities in varying.items() if quantities}


def _varies(points: Sequence[Spread]) -> bool:
    return len({one.mean for one in points}) > 1 or any(one.spread > 0.0 or one.count < 2 for one in points)
