"""Draw figures of the water: radial distributions, hydrogen bonds, density, diffusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from orbmm.analysis.result import Result, write_error
from orbmm.report.style import (
    DARK,
    FAINT,
    LIGHT,
    LINES,
    add_legend,
    add_legend_above,
    add_note,
    add_right_axis,
    leave_room,
    make_panels,
    mark_points,
    name_axes,
)

_TIME = "time / ps"
_NOTE_ANGSTROM = 0.4  # half the width of the note at a peak
_BONDED = {"water_water": "among waters", "solute_water": "solute and water", "solute_solute": "in the solute"}


def draw_rdf_oo(result: Result) -> Figure:
    """Draw the radial distribution of water oxygens, and the running coordination number."""
    return _draw_distribution(result, "O–O distance / Å", "neighbours")


def draw_rdf_oh(result: Result) -> Figure:
    """Draw the radial distribution of other waters' hydrogens around an oxygen, and the running coordination number."""
    return _draw_distribution(result, "O···H distance between waters / Å", "hydrogens")


def _draw_distribution(result: Result, distance: str, counted: str) -> Figure:
    figure, (panel,) = make_panels()
    radius, ratio, neighbours = (result.values[name] for name in ("radius", "ratio", "neighbours"))
    peak, height = result.number("first_peak"), result.number("first_peak_height")
    panel.axhline(1.0, linewidth=0.6, **FAINT)
    panel.plot(radius, ratio, linewidth=1.4, label="$g$ (left)", **DARK)
    panel.plot([], [], linewidth=1.2, label=f"{counted} (right)", **LIGHT)
    near = np.abs(radius - peak) < _NOTE_ANGSTROM
    add_note(panel, (peak, max(height, float(ratio[near].max(initial=0.0)))), f"{peak:.2f} Å")
    panel.set_ylim(0.0, 1.2 * max(height, float(ratio.max())))
    panel.set_xlim(max(0.0, float(radius[np.argmax(ratio > 0.0)]) - 0.5), float(radius[-1]))
    name_axes(panel, distance, "radial distribution $g$")
    right = add_right_axis(panel, f"{counted} within that distance")
    right.plot(radius, neighbours, linewidth=1.2, **LIGHT)
    valley, coordination = result.number("first_minimum"), result.number("coordination_number")
    right.plot([valley], [coordination], marker="o", markersize=4, **LIGHT)
    panel.plot([], [], marker="o", markersize=4, label=f"{coordination:.1f} up to {valley:.1f} Å", **LIGHT)
    right.set_ylim(0.0, 4.0 * coordination if coordination > 0.0 else None)
    add_legend_above(panel, columns=3)
    return figure


def draw_hydrogen_bonds(result: Result) -> Figure:
    """Draw the hydrogen bonds over time, of each kind that occurs (all if none does), and those of the first frame."""
    figure, (panel,) = make_panels()
    time = result.values["time"]
    occurring = [name for name in _BONDED if result.values[name].any()] or list(_BONDED)
    for name, look in zip(_BONDED, LINES, strict=False):
        if name in occurring:
            label = f"{_BONDED[name]}, mean {result.number(f'{name}_mean'):.3g}"
            change = result.values[name] - result.values[name][0]
            panel.plot(time, change, linewidth=1.2, label=label, **look, **mark_points(time))
    leave_room(panel, 0.4)
    name_axes(panel, _TIME, "change in number of\nhydrogen bonds")
    add_legend(panel)
    return figure


def draw_density(result: Result) -> Figure:
    """Draw the density of the box over time."""
    figure, (panel,) = make_panels()
    density, mean = result.values["density"], result.number("density_mean")
    panel.plot(result.values["time"], density, linewidth=1.2, label=f"mean {mean:.3f} g/cm³", **DARK)
    panel.set_ylim(min(float(density.min()), 0.98 * mean), max(float(density.max()), 1.02 * mean))
    panel.ticklabel_format(useOffset=False)
    name_axes(panel, _TIME, "density / (g/cm³)")
    add_legend(panel)
    return figure


def draw_diffusion(result: Result) -> Figure:
    """Draw the mean square displacement of the waters over the lag, with the line that gives the coefficient."""
    figure, (panel,) = make_panels()
    lag, displacement = result.values["lag"], result.values["displacement"]
    fitted = lag >= result.number("fit_start")
    panel.plot(lag, displacement, linewidth=1.4, label="waters", **DARK)
    line = np.polyval(np.polyfit(lag[fitted], displacement[fitted], 1), lag[fitted])
    coefficient, error = result.number("coefficient"), result.number("coefficient_error")
    doubt = "" if result.number("converged") else " (run too short)"
    label = f"$D$ = ({write_error(coefficient, error, 1)}) · 10⁻⁹ m²/s{doubt}"
    panel.plot(lag[fitted], line, linewidth=1.4, label=label, **LIGHT)
    panel.set_ylim(0.0, 1.15 * max(float(displacement.max()), 1e-6))
    name_axes(panel, "lag / ps", "mean square\ndisplacement / Å²")
    add_legend(panel)
    return figure


DRAWINGS: Mapping[str, Callable[[Result], Figure]] = {
    "rdf_oo": draw_rdf_oo,
    "rdf_oh": draw_rdf_oh,
    "hydrogen_bonds": draw_hydrogen_bonds,
    "density": draw_density,
    "diffusion": draw_diffusion,
}
