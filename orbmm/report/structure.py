"""Draw figures of the shape of the solute: gyration, fluctuation, secondary structure, contacts, torsions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from orbmm.analysis.result import Result
from orbmm.analysis.structure.ramachandran import BIN_DEGREES
from orbmm.report.style import (
    COLOR_MAP,
    DARK,
    LEAST_ANGSTROM,
    LIGHT,
    LINES,
    add_color_bar,
    add_legend,
    leave_room,
    make_panels,
    mark_points,
    name_axes,
)

_TIME = "time / ps"


def draw_radius_of_gyration(result: Result) -> Figure:
    """Draw the radius of gyration over time."""
    figure, (panel,) = make_panels()
    mean = result.number("radius_mean")
    time, radius = result.values["time"], result.values["radius"]
    panel.plot(time, radius, linewidth=1.2, label=f"mean {mean:.2f} Å", **DARK, **mark_points(time))
    leave_room(panel)
    name_axes(panel, _TIME, "radius of gyration / Å")
    add_legend(panel)
    return figure


def draw_rmsf(result: Result) -> Figure:
    """Draw the fluctuation of each residue, and that of the crystal if it is known."""
    figure, (panel,) = make_panels()
    residue = result.values["residue"]
    marker: dict[str, Any] = {"marker": "o", "markersize": 3} if len(residue) < 60 else {}
    ends = np.flatnonzero(_find_ends(result)) + 1
    lines = {"rmsf": ("simulation", DARK | marker), "crystal": ("crystal's B-factors", LIGHT)}
    for name, (words, look) in lines.items():
        if name in result.values:
            broken = np.insert(result.values[name].astype(float), ends, np.nan)  # a line for each chain
            panel.plot(np.insert(residue.astype(float), ends, np.nan), broken, linewidth=1.2, label=words, **look)
    panel.set_ylim(0.0, max(1.25 * panel.get_ylim()[1], LEAST_ANGSTROM))
    panel.set_xlim(residue.min() - 0.5, residue.max() + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    name_axes(panel, "residue", "RMS fluctuation / Å")
    if "crystal" in result.values:
        add_legend(panel, columns=2)
    return figure


def _find_ends(result: Result) -> NDArray[np.bool_]:
    """Return which residues but the last (R - 1,) are the last ones of their chain."""
    chains = result.values.get("chain", np.zeros(len(result.values["residue"])))
    return np.asarray(chains[1:] != chains[:-1])


def draw_secondary_structure(result: Result) -> Figure:
    """Draw the fractions of helix, strand and coil over time, and each residue's share of time in helix or strand."""
    figure, (panel,) = make_panels()
    for name, look in zip(("helix", "strand", "coil"), LINES, strict=False):
        time, share = result.values["time"], 100.0 * result.values[name]
        panel.plot(time, share, linewidth=1.2, label=name, **look, **mark_points(time))
    panel.set_ylim(-2.0, 125.0)
    panel.set_yticks(range(0, 101, 20))
    name_axes(panel, _TIME, "residues / %")
    add_legend(panel, columns=3)
    return figure


def draw_native_contacts(result: Result) -> Figure:
    """Draw the fraction of native contacts over time."""
    figure, (panel,) = make_panels()
    kept = 100.0 * result.values["kept"]
    contacts = int(result.number("contacts"))
    time = result.values["time"]
    panel.plot(time, kept, linewidth=1.2, label=f"of {contacts} contacts", **DARK, **mark_points(time))
    panel.set_ylim(min(90.0, float(kept.min()) - 2.0), 102.0)
    name_axes(panel, _TIME, "native contacts kept / %")
    add_legend(panel)
    return figure


def draw_ramachandran(result: Result) -> Figure:
    """Draw the distribution of the torsions phi and psi over all residues and frames; darker means more often."""
    figure, (panel,) = make_panels()
    figure.set_size_inches(figure.get_size_inches()[0], 3.1)
    counts = result.values["histogram"].T
    share = 100.0 * np.ma.masked_equal(counts, 0.0) / counts.sum()
    edges = np.arange(-180.0, 180.0 + BIN_DEGREES, BIN_DEGREES)
    mesh = panel.pcolormesh(edges, edges, share, cmap=COLOR_MAP, vmin=0.0, rasterized=True)
    add_color_bar(panel, mesh, "share / %")
    panel.set_aspect("equal")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MultipleLocator(90.0))
    name_axes(panel, "$\\phi$ / degrees", "$\\psi$ / degrees")
    return figure


DRAWINGS: Mapping[str, Callable[[Result], Figure]] = {
    "radius_of_gyration": draw_radius_of_gyration,
    "rmsf": draw_rmsf,
    "secondary_structure": draw_secondary_structure,
    "native_contacts": draw_native_contacts,
    "ramachandran": draw_ramachandran,
}
