"""Draw figures that need a run folder: temperature of each element, confidence of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray
from scipy.special import betaincinv

from orbmm.analysis.result import Result
from orbmm.report.style import (
    COLOR_MAP,
    DARK,
    FAINT,
    LIGHT,
    LINES,
    add_color_bar,
    add_legend,
    add_legend_above,
    leave_room,
    make_panels,
    mark_limit,
    mark_points,
    name_axes,
    plain_words,
)

_ONE_SIGMA = (0.15866, 0.84134)  # chances of a normal distribution to lie below one standard deviation
_HALF_PS = 5e-4  # of a run with one record
_FEW_RESIDUES = 12  # that have room for their names


def draw_equipartition(result: Result) -> Figure:
    """Draw the temperature of each element, that of all atoms, and the range that chance leaves to each element."""
    figure, (panel,) = make_panels()
    positions = np.arange(len(result.values["element"]))
    kelvin = result.number("kelvin")
    panel.axhline(kelvin, linewidth=1.2, label=f"all atoms {kelvin:.0f} K", **LIGHT)
    low, high = find_expected_range(result)
    panel.bar(positions, high - low, 0.3, low, label="expected (68 % of cases)", color=FAINT["color"], alpha=0.5)
    panel.plot(positions, result.values["temperature"], "o", markersize=5, color=DARK["color"], label="element")
    panel.set_ylim(0.0, 1.1 * max(float(high.max()), float(result.values["temperature"].max())))
    panel.set_xlim(-0.5, len(positions) - 0.5)
    names = zip(result.values["element"].tolist(), result.values["atoms"].tolist(), strict=True)
    panel.set_xticks(positions, [f"{name} ({atoms})" for name, atoms in names])
    leave_room(panel, 0.35)
    name_axes(panel, "element (atoms)", "temperature / K")
    add_legend(panel)
    return figure


def find_expected_range(result: Result) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the temperatures (G,) [K] between which each element lies in 68 of 100 cases, were all equally hot.

    An element's share of the kinetic energy follows a beta distribution, so that no temperature is below zero.
    """
    freedom = 3.0 * result.values["atoms"] * result.number("snapshots")  # (G,)
    alpha, beta = 0.5 * freedom, 0.5 * (freedom.sum() - freedom)
    scale = result.number("kelvin") * freedom.sum() / freedom
    low, high = (scale * betaincinv(alpha, beta, chance) for chance in _ONE_SIGMA)
    return low, high


def draw_confidence(result: Result) -> Figure:
    """Draw the expected force error over time: of solute and water, as shares of its bins, and of each residue."""
    groups = [name for name in ("solute", "water") if name in result.values]
    residues = len(result.values["residue_numbers"])
    figure, panels = make_panels(3 if residues else 2)
    time = result.values["time"]
    for name, look in zip(groups, LINES, strict=False):
        label = f"{name}, mean {result.number(f'{name}_mean'):.3f}"
        panels[0].plot(time, result.values[name], linewidth=1.2, label=label, **look, **mark_points(time))
    mark_limit(panels[0], result.number("doubtful_above"), "doubtful")
    panels[0].set_ylim(0.0, 1.25 * max(result.number("doubtful_above"), float(result.values[groups[0]].max())))
    name_axes(panels[0], None, "expected force\nerror / (eV/Å)")
    add_legend_above(panels[0], columns=2)
    edges = _find_stretches(result)
    shares = 100.0 * np.ma.masked_equal(result.values["bin_shares"], 0.0)
    _draw_map(panels[1], (edges, result.values["edges"]), shares, "atoms / %")
    name_axes(panels[1], None, "most probable\nerror / (eV/Å)")
    if residues:
        rows = np.arange(residues + 1) - 0.5
        _draw_map(panels[2], (edges, rows), result.values["residue_map"], "expected error\n/ (eV/Å)")
        _name_residues(panels[2], result)
        name_axes(panels[2], None, "residue")
    name_axes(panels[-1], "time / ps", panels[-1].get_ylabel())
    panels[-1].set_xlim(edges[0], edges[-1])
    return figure


def _find_stretches(result: Result) -> NDArray[np.float64]:
    """Return the limits (S + 1,) of the time intervals [ps], halfway between two records; the run is their whole."""
    begins, time = result.values["stretch_start"], result.values["time"]
    if len(time) < 2:
        return np.array([time[0] - _HALF_PS, time[0] + _HALF_PS])
    half = 0.5 * float(np.median(np.diff(time)))
    return np.concatenate([time[:1], begins[1:] - half, time[-1:]])


def _draw_map(panel: Axes, edges: tuple[NDArray, NDArray], values: NDArray, words: str) -> None:
    """Draw values (S, rows) as a map. edges: of time (S + 1,) and of rows (rows + 1,)."""
    mesh = panel.pcolormesh(*edges, values.T, cmap=COLOR_MAP, rasterized=True)
    add_color_bar(panel, mesh, words)


def _name_residues(panel: Axes, result: Result) -> None:
    """Label the axis with the names of the residues, or with some numbers if there are many."""
    names = result.values["residue_names"][:, 0].tolist()
    if len(names) > _FEW_RESIDUES:
        ticks = map(int, MaxNLocator(6, integer=True).tick_values(0, len(names) - 1))
        chosen = [place for place in ticks if 0 <= place < len(names)]
        names = [str(result.values["residue_numbers"][place]) for place in chosen]
    else:
        chosen = list(range(len(names)))
    panel.yaxis.set_major_locator(FixedLocator(chosen))
    panel.set_yticklabels([plain_words(name) for name in names])


DRAWINGS: Mapping[str, Callable[[Result], Figure]] = {
    "equipartition": draw_equipartition,
    "confidence": draw_confidence,
}
