"""Draw the small multiples of an ensemble: the replicas of each point, and how their mean converges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orbmm.analysis.result import name_quantity, write_unit
from orbmm.ensemble.convergence import Step
from orbmm.ensemble.spread import Measured, Spread
from orbmm.plain_text import escape_controls
from orbmm.report.style import LINES

_SIZE = (9.0, 2.0)  # inches
_SMALL = 8.0  # points
_LONGEST_NAME = 18
_FAR = "#D55E00"


def draw_quantity(points: Sequence[Spread], replicas: Sequence[Measured], steps: Sequence[Step]) -> Figure:
    """Return one row of three panels: every replica by point, mean by number of replicas, mean by their length.

    Bars are standard errors between replicas. Outliers are crosses with their names.
    points: the spreads of one quantity; steps: of the same quantity
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, sharey=True)
    _draw_replicas(left, points, replicas)
    for number, point in enumerate(points):
        here = [one for one in steps if one.point == point.point]
        style = LINES[number % len(LINES)]
        whole = [one for one in here if one.part == 1.0]
        _draw_steps(middle, [one.replicas for one in whole], whole, style["color"])
        by_length = sorted((one for one in here if one.replicas == whole[-1].replicas), key=lambda one: one.part)
        _draw_steps(right, [100.0 * one.part for one in by_length], by_length, style["color"])
    middle.set_xlabel("number of replicas", fontsize=_SMALL)
    right.set_xlabel("part of each replica / %", fontsize=_SMALL)
    unit = write_unit(points[0].unit)
    left.set_ylabel(name_quantity(points[0].quantity) + (f" / {unit}" if unit else ""), fontsize=_SMALL)
    for axes in (left, middle, right):
        axes.tick_params(labelsize=_SMALL)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_replicas(axes: Axes, points: Sequence[Spread], replicas: Sequence[Measured]) -> None:
    """Draw a dot for each replica, a cross with its name for an outlier, and the mean with its error."""
    for number, point in enumerate(points):
        key, style = (point.observable, point.quantity), LINES[number % len(LINES)]
        here = [one for one in replicas if one.point == point.point and key in one.numbers]
        places = number + np.linspace(-0.25, 0.25, len(here)) if len(here) > 1 else np.array([float(number)])
        for place, one in zip(places, here, strict=True):
            value, far = one.numbers[key].value, one.name in point.outliers
            axes.plot(
                place, value, "x" if far else "o", color=_FAR if far else style["color"], markersize=5 if far else 3
            )
            if far:
                axes.annotate(_shorten(one.name), (place, value), fontsize=_SMALL - 1, color=_FAR)
        error = point.error if np.isfinite(point.error) else None
        axes.errorbar(number + 0.38, point.mean, error, fmt="_", color=style["color"], capsize=3, markersize=9)
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.set_xticks(range(len(points)), [_shorten(one.point) or "all replicas" for one in points])
    if len(points) > 2:
        axes.tick_params(axis="x", rotation=30)


def _draw_steps(axes: Axes, places: Sequence[float], steps: Sequence[Step], color: str) -> None:
    errors = [one.error if np.isfinite(one.error) else 0.0 for one in steps]
    axes.errorbar(places, [one.mean for one in steps], errors, fmt="o-", color=color, capsize=2, markersize=3, lw=1.0)


def _shorten(name: str) -> str:
    shown = escape_controls(name)
    return shown if len(shown) <= _LONGEST_NAME else f"…{shown[1 - _LONGEST_NAME :]}"
