"""Draw figures of the chemistry: metal site, carbon dioxide, protons, bonds that form and break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orbmm.analysis.result import Result
from orbmm.report.style import (
    DARK,
    LIGHT,
    LINES,
    add_legend,
    leave_room,
    make_panels,
    mark_limit,
    mark_points,
    name_axes,
    plain_words,
)

_TIME = "time / ps"


def draw_metal_site(result: Result) -> Figure:
    """Draw the distances of the ligands to the metal, and their number, over time.

    At most seven ligands are shown, those nearest on average.
    """
    figure, (above, below) = make_panels(2)
    time = result.values["time"]
    names = [name for name in result.values if name.startswith("distance_") and not name.endswith("_mean")]
    nearest = sorted(names, key=lambda name: result.number(f"{name}_mean"))[: len(LINES)]
    for name, look in zip(nearest, LINES, strict=False):
        above.plot(
            time,
            result.values[name],
            linewidth=1.2,
            label=plain_words(name.removeprefix("distance_")),
            **mark_points(time),
            **look,
        )
    leave_room(above, 0.35)
    name_axes(above, None, "distance\nto the metal / Å")
    add_legend(above, columns=2)
    _step(below, result, "coordination", DARK)
    name_axes(below, _TIME, "ligands")
    return figure


def draw_carbon_dioxide(result: Result) -> Figure:
    """Draw the distances of the carbon of CO2 to the nearest other oxygen and the metal, and its angle, over time."""
    figure, (above, below) = make_panels(2)
    time = result.values["time"]
    above.plot(
        time, result.values["nearest_oxygen"], linewidth=1.2, label="nearest other O", **mark_points(time), **DARK
    )
    if "to_metal" in result.values:
        above.plot(time, result.values["to_metal"], linewidth=1.2, label="metal", **mark_points(time), **LIGHT)
    above.set_ylim(0.0, 1.25 * above.get_ylim()[1])
    mark_limit(above, 1.6, "bonded")
    name_axes(above, None, "distance\nto the carbon / Å")
    add_legend(above, columns=2)
    below.plot(time, result.values["angle"], linewidth=1.2, **mark_points(time), **DARK)
    below.set_ylim(100.0, 182.0)
    name_axes(below, _TIME, "O–C–O / degrees")
    return figure


def draw_protonation(result: Result) -> Figure:
    """Draw charged waters, the protons of the groups that change, and those on the oxygen of the metal, over time."""
    figure, (panel,) = make_panels()
    lines = {"hydronium": "H₃O⁺", "hydroxide": "waters with one H"}
    if "metal_protons" in result.values:
        lines["metal_protons"] = "H on the metal's O"
    groups = [name for name in result.columns if name.startswith("protons_")]
    lines |= {name: f"H on {plain_words(name.removeprefix('protons_'))}" for name in groups[: len(LINES) - len(lines)]}
    for (name, words), look in zip(lines.items(), LINES, strict=False):
        _step(panel, result, name, look, words)
    panel.set_ylim(-0.3, 1.5 + panel.get_ylim()[1])
    name_axes(panel, _TIME, "number")
    add_legend(panel, columns=2)
    return figure


def draw_water_wire(result: Result) -> Figure:
    """Draw the waters and the longest step of the wire from the metal to the group over time; no line means no wire."""
    figure, (above, below) = make_panels(2)
    time, waters = result.values["time"], result.values["waters"].astype(float)
    waters[waters < 0.0] = np.nan
    look = mark_points(time)
    above.step(time, waters, where="mid", linewidth=1.4, label=f"{result.number('connected'):.0%} of the frames",
               **look, **DARK)  # fmt: skip
    above.set_ylim(-0.5, max(4.0, np.nanmax(waters, initial=0.0) + 2.0))
    above.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    name_axes(above, None, "waters in\nthe wire")
    add_legend(above)
    below.plot(time, result.values["distance"], linewidth=1.2, label="straight, end to end", **look, **LIGHT)
    below.plot(time, result.values["longest_step"], linewidth=1.2, label="longest step", **look, **DARK)
    below.set_ylim(0.0, 1.35 * below.get_ylim()[1])
    name_axes(below, _TIME, "distance / Å")
    add_legend(below, columns=2)
    return figure


def draw_bond_events(result: Result) -> Figure:
    """Draw the numbers of bonds formed and broken since the start over time."""
    figure, (panel,) = make_panels()
    _step(panel, result, "formed", DARK, "formed")
    _step(panel, result, "broken", LIGHT, "broken")
    panel.set_ylim(-0.2, 1.3 * max(1.0, panel.get_ylim()[1]))
    name_axes(panel, _TIME, "bonds,\nagainst the start")
    add_legend(panel, columns=2)
    return figure


def _step(panel: Axes, result: Result, name: str, look: Mapping[str, Any], words: str = "") -> None:
    time = result.values["time"]
    panel.step(time, result.values[name], where="mid", linewidth=1.4, label=words, **mark_points(time), **look)
    panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if not words:
        low, high = float(result.values[name].min()), float(result.values[name].max())
        panel.set_ylim(low - 1.0, high + 1.0)


DRAWINGS: Mapping[str, Callable[[Result], Figure]] = {
    "metal_site": draw_metal_site,
    "carbon_dioxide": draw_carbon_dioxide,
    "protonation": draw_protonation,
    "water_wire": draw_water_wire,
    "bond_events": draw_bond_events,
}
