"""The tables of a refitted confidence: expected errors beside true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from orbmm.plain_text import escape_controls

if TYPE_CHECKING:
    from orbmm.training.confidence.calibration import Calibration, Recalibration


def tabulate_recalibration(found: Recalibration) -> Table:
    """Return a table of all frames that were measured, before and after the refit."""
    columns = ("frames", "atoms", "expected/true", "rank", "large", "flagged", "false alarms")
    table = _make_table("confidence on frames that its refit did not see", columns)
    for name in found.after:
        for when, part in (("before", found.before[name]), ("after", found.after[name])):
            table.add_row(
                f"{escape_controls(name)}, {when}",
                str(part.atoms),
                _format(part.ratio),
                _format(part.rank),
                str(part.large),
                _percent(part.flagged),
                _percent(part.false_alarms),
            )
    return table


def tabulate_bins(name: str, found: Calibration) -> Table:
    """Return a table of the bins of the expected error."""
    columns = ("expected meV/Å", "atoms", "mean expected", "mean true")
    table = _make_table(f"bins of the expected error, {escape_controls(name)}", columns)
    for one in found.bins:
        table.add_row(
            f"{one.begin_mev_per_angstrom:.0f}-{one.end_mev_per_angstrom:.0f}",
            str(one.atoms),
            f"{one.expected_mev_per_angstrom:.1f}",
            f"{one.true_mev_per_angstrom:.1f}",
        )
    return table


def _make_table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.1f}%"
