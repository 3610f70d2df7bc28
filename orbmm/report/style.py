"""The style of every figure; set on the figure itself, so that the settings of a notebook do not change."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orbmm.plain_text import escape_controls

# Okabe and Ito's palette; brightness and line style differ too, so that the lines can be distinguished in grey print.
DARK: dict[str, Any] = {"color": "#0072B2", "linestyle": "-"}
LIGHT: dict[str, Any] = {"color": "#E69F00", "linestyle": "--"}
FAINT: dict[str, Any] = {"color": "#999999", "linestyle": "-"}
LIMIT: dict[str, Any] = {"color": "#333333", "linestyle": ":", "linewidth": 1.2}
_PAPER: dict[str, Any] = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0}  # behind words on lines
DISCARDED: dict[str, Any] = {"color": "#000000", "alpha": 0.08, "linewidth": 0}
LINES: tuple[dict[str, Any], ...] = (
    DARK,
    LIGHT,
    {"color": "#000000", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": (0, (1, 1))},
    {"color": "#009E73", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "linestyle": (0, (8, 3))},
    {"color": "#D55E00", "linestyle": (0, (3, 1, 1, 1))},
)
LEAST_ANGSTROM = 0.05  # of an axis of deviations: a trajectory file keeps 0.01
COLOR_MAP = "cividis_r"  # even in brightness, the same to colour-blind eyes
DOTS_PER_INCH = 250
_WIDTH, _PANEL_HEIGHT = 4.2, 2.4  # inches: between one and one and a half columns of a journal
_TEXT, _SMALL = 9.5, 9.0  # points: legible on a telephone of 375 pixels, where a figure is 345 wide


def make_panels(panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with panels above each other that share their horizontal axis."""
    figure = Figure(figsize=(_WIDTH, _PANEL_HEIGHT * (0.5 + 0.5 * panels) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0].tolist()
    for panel in axes:
        panel.tick_params(labelsize=_SMALL, direction="in", top=True, right=True, pad=5)
        panel.margins(x=0.0)
    return figure, axes


def plain_words(name: str) -> str:
    """Return a name from a file for a label: no mathematics begins in it, and nothing that a picture cannot hold."""
    words = escape_controls(name).replace("$", "\\$")
    return f"\N{HAIR SPACE}{words}" if words.startswith("_") else words  # a legend leaves out what begins with _


def name_axes(panel: Axes, horizontal: str | None, vertical: str) -> None:
    """Label the axes, each with its unit."""
    if horizontal is not None:
        panel.set_xlabel(horizontal, fontsize=_TEXT)
    panel.set_ylabel(vertical, fontsize=_TEXT)


def mark_limit(panel: Axes, height: float, words: str) -> None:
    """Draw a dotted line across a panel, and write its meaning above its right end."""
    panel.axhline(height, **LIMIT)
    panel.text(
        0.99,
        height,
        words,
        transform=panel.get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize=_SMALL,
        bbox=_PAPER,
    )


def add_note(panel: Axes, place: tuple[float, float], words: str) -> None:
    """Write a few words above a point, on a patch of paper."""
    panel.annotate(
        words, place, (0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=_SMALL, bbox=_PAPER
    )


def add_right_axis(panel: Axes, vertical: str) -> Axes:
    """Add a second vertical axis on the right of a panel, and return it."""
    panel.tick_params(right=False)
    right = panel.twinx()
    right.tick_params(labelsize=_SMALL, direction="in")
    name_axes(right, None, vertical)
    return right


def add_color_bar(panel: Axes, mesh: ScalarMappable, words: str) -> None:
    """Add a bar with the meaning of the colours beside a panel; the width of the panel does not change."""
    bar = panel.figure.colorbar(mesh, cax=panel.inset_axes((1.02, 0.0, 0.03, 1.0)))
    bar.set_label(words, fontsize=_TEXT)
    bar.ax.tick_params(labelsize=_SMALL)


def add_legend(panel: Axes, columns: int = 1) -> None:
    """Say which line is which, where there is most room; nothing where no line has a name."""
    if panel.get_legend_handles_labels()[0]:
        panel.legend(
            ncols=columns,
            fontsize=_SMALL,
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            borderpad=0.3,
            handlelength=1.6,
            columnspacing=1.2,
        )


def add_legend_above(panel: Axes, columns: int) -> None:
    """Add a legend above a panel, for panels that are full of lines."""
    panel.legend(
        ncols=columns,
        fontsize=_SMALL,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderpad=0.3,
        handlelength=1.6,
        columnspacing=1.2,
    )


def shade_discarded(panel: Axes, until_ps: float, start_ps: float) -> None:
    """Shade the start of a run that averages leave out."""
    if until_ps > start_ps:
        panel.axvspan(start_ps, until_ps, label="discarded", **DISCARDED)


def mark_points(time: NDArray[np.float64]) -> dict[str, Any]:
    """Return the style of points, for too few frames to draw a line."""
    return {"marker": "o", "markersize": 4} if len(time) < 3 else {}


def leave_room(panel: Axes, part: float = 0.25) -> None:
    """Extend the vertical axis above the lines to make room for a legend, by a part of its height."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + part * (high - low))
