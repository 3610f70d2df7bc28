"""Draw one figure for each observable, from its Result only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from orbmm.analysis.result import Result, write_error
from orbmm.errors import AnalysisError, name_nearest
from orbmm.outputs import OutputFolder
from orbmm.report import run as run_figures
from orbmm.report import site as site_figures
from orbmm.report import solvent as solvent_figures
from orbmm.report import structure as structure_figures
from orbmm.report.style import (
    DARK,
    DOTS_PER_INCH,
    FAINT,
    LEAST_ANGSTROM,
    LIGHT,
    LINES,
    add_legend,
    leave_room,
    make_panels,
    mark_limit,
    mark_points,
    name_axes,
    shade_discarded,
)

_TIME = "time / ps"
_PARTS = 40


def draw_rmsd(result: Result) -> Figure:
    """Draw the RMSD of backbone, heavy atoms and binding site from the start over time."""
    return _draw_deviations(result, "RMSD from the start / Å")


def draw_crystal_rmsd(result: Result) -> Figure:
    """Draw the RMSD of backbone, heavy atoms and binding site from the crystal structure over time."""
    return _draw_deviations(result, "RMSD from the crystal / Å")


def _draw_deviations(result: Result, vertical: str) -> Figure:
    figure, (panel,) = make_panels()
    time = result.values["time"]
    for name, look in (("heavy_atoms", LIGHT), ("binding_site", LINES[2]), ("backbone", DARK)):
        if name in result.values:
            words = name.replace("_", " ")
            panel.plot(time, result.values[name], label=words, linewidth=1.2, **look, **mark_points(time))
    panel.set_ylim(0.0, max(1.25 * panel.get_ylim()[1], LEAST_ANGSTROM))  # room for the legend above the lines
    name_axes(panel, _TIME, vertical)
    add_legend(panel, columns=3)
    return figure


def draw_bonds(result: Result) -> Figure:
    """Draw the most stretched bond over time, and the number of broken bonds where one breaks."""
    time, ratio, broken = (result.values[name] for name in ("time", "largest_ratio", "broken"))
    figure, panels = make_panels(2 if broken.any() else 1)
    above = panels[0]
    above.plot(time, ratio, linewidth=1.0, **DARK, **mark_points(time))
    for words in ("stretched", "broken"):
        mark_limit(above, result.number(f"{words}_factor"), words)
    above.set_ylim(0.98, 1.05 * max(float(ratio.max()), result.number("broken_factor")))
    name_axes(above, None if broken.any() else _TIME, "longest bond,\nrelative to its start")
    if broken.any():
        _draw_broken(panels[1], time, broken)
    return figure


def _draw_broken(below: Axes, time: NDArray[np.float64], broken: NDArray[np.int64]) -> None:
    below.step(time, broken, where="mid", linewidth=1.2, **DARK, **mark_points(time))
    most = max(1.0, float(broken.max()))
    below.set_ylim(-0.15 * most, 1.15 * most)  # a line of zeros stays clear of the frame
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    name_axes(below, _TIME, "broken bonds")


def draw_angles(result: Result) -> Figure:
    """Draw the change of the angles over time, root mean square and largest."""
    figure, (above, below) = make_panels(2)
    time, largest = result.values["time"], result.values["largest_change"]
    above.plot(time, largest, linewidth=1.0, **DARK, **mark_points(time))
    mark_limit(above, result.number("bent_degrees"), "bent")
    above.set_ylim(0.0, 1.2 * max(float(largest.max()), result.number("bent_degrees")))
    name_axes(above, None, "most changed\nangle / degrees")
    below.plot(time, result.values["change"], linewidth=1.2, **DARK, **mark_points(time))
    below.set_ylim(0.0, 1.25 * max(1.0, float(result.values["change"].max())))
    name_axes(below, _TIME, "RMS change of\nangles / degrees")
    return figure


def draw_temperature(result: Result) -> Figure:
    """Draw the temperature over time, its mean with the standard error, and that of the bath; below, each element's."""
    symbols = [name.removeprefix("temperature_") for name in result.values if name.startswith("temperature_")]
    figure, panels = make_panels(2 if symbols else 1)
    panel = panels[0]
    time, temperature = result.values["time"], result.values["temperature"]
    panel.plot(time, temperature, linewidth=0.6, **FAINT, **mark_points(time))
    mean, error, discarded = (result.number(name) for name in ("mean", "mean_error", "discarded"))
    shade_discarded(panel, discarded, float(time[0]))
    kept = [max(discarded, float(time[0])), float(time[-1])]
    panel.plot(kept, [mean, mean], label=f"mean {write_error(mean, error, 1)} K", linewidth=1.6, **DARK)
    if "bath" in result.values:
        panel.plot(kept, [result.number("bath")] * 2, label=f"bath {result.number('bath'):g} K", linewidth=1.2, **LIGHT)
    leave_room(panel, 0.35)
    name_axes(panel, None if symbols else _TIME, "temperature / K")
    add_legend(panel)
    if symbols:
        _draw_elements(panels[1], result, symbols)
    return figure


def _draw_elements(panel: Axes, result: Result, symbols: Sequence[str]) -> None:
    """Draw the temperature of each element over time, as means of at most 40 parts of the run."""
    time = result.values["time"]
    parts = np.array_split(np.arange(len(time)), min(_PARTS, len(time)))
    middles = np.array([time[part].mean() for part in parts])
    for symbol, look in zip(symbols, cycle(LINES), strict=False):
        series = result.values[f"temperature_{symbol}"]
        means = [series[part].mean() for part in parts]
        panel.plot(middles, means, linewidth=1.2, label=symbol, **look, **mark_points(middles))
    leave_room(panel, 0.35)
    name_axes(panel, _TIME, "elements,\ntemperature / K")
    add_legend(panel, columns=min(4, len(symbols)))


def draw_energy(result: Result) -> Figure:
    """Draw potential and total energy over time, relative to their means after the discarded start, with drifts."""
    figure, panels = make_panels(2)
    time = result.values["time"]
    kept = time >= result.number("discarded")
    for panel, name in zip(panels, ("potential", "total"), strict=True):
        series = result.values[name] - result.values[name][kept].mean()
        panel.plot(time, series, linewidth=0.6, **FAINT, **mark_points(time))
        drift, error = result.number(f"{name}_drift"), result.number(f"{name}_drift_error")
        label = f"drift {write_error(drift, error)} meV/atom/ps".replace("-", "\N{MINUS SIGN}")
        panel.plot(time[kept], _fit_line(time[kept], series[kept]), label=label, linewidth=1.6, **DARK)
        shade_discarded(panel, result.number("discarded"), float(time[0]))
        leave_room(panel, 0.5)
        name_axes(panel, None, f"{name} energy,\nless its mean / (kJ/mol)")
        add_legend(panel)
    name_axes(panels[-1], _TIME, panels[-1].get_ylabel())
    return figure


DRAWINGS: Mapping[str, Callable[[Result], Figure]] = {
    "rmsd": draw_rmsd,
    "crystal_rmsd": draw_crystal_rmsd,
    "bonds": draw_bonds,
    "angles": draw_angles,
    "temperature": draw_temperature,
    "energy": draw_energy,
    **run_figures.DRAWINGS,
    **structure_figures.DRAWINGS,
    **site_figures.DRAWINGS,
    **solvent_figures.DRAWINGS,
}


def draw_figure(result: Result) -> Figure:
    """Draw the figure of a Result, by its name. Raises AnalysisError if it has no figure."""
    if result.name not in DRAWINGS:
        raise AnalysisError(f"there is no figure for '{result.name}'; {name_nearest(result.name, DRAWINGS)}")
    figure = DRAWINGS[result.name](result)
    if result.units.get("time") == "frame":  # of a file that holds no times
        for panel in figure.axes:
            if panel.get_xlabel() == _TIME:
                panel.set_xlabel("frame")
    return figure


def write_figures(results: Mapping[str, Result], folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write NAME.png, NAME.svg or both for every Result that has a figure into a folder, and return the paths.

    Raises OutputError if a file that orbmm did not write has one of these names, AnalysisError if a file cannot be
    written.
    """
    contents = {}
    for name, result in results.items():
        if result.name not in DRAWINGS:
            continue
        figure = draw_figure(result)
        figure.draw_without_rendering()  # lay it out once, not again for each file
        figure.set_layout_engine("none")
        for suffix in formats:
            contents[f"{name}.{suffix}"] = format_figure(figure, suffix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OutputFolder(folder).write(contents)
    except OSError as error:
        raise AnalysisError(f"{folder}: the figures cannot be written there ({error}); give --output") from error
    return [folder / name for name in contents]


def format_figure(figure: Figure, suffix: str) -> bytes:
    """Return the content of a png or svg file; the same figure always gives the same bytes."""
    buffer = BytesIO()
    metadata: dict[str, Any] | None = {"Date": None} if suffix == "svg" else None
    with rc_context({"svg.hashsalt": "orbmm"}):  # ids are random otherwise
        figure.savefig(buffer, format=suffix, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def _fit_line(time: NDArray[np.float64], series: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.polyval(np.polyfit(time, series, 1), time))
