"""`orbmm analyze` of an ensemble: mean, spread and standard error between its replicas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orbmm.cli.screen import open_console, say

if TYPE_CHECKING:
    from rich.table import Table

    from orbmm.ensemble.analyze import EnsembleAnalysis


def holds_ensemble(folder: Path) -> bool:
    """Return whether a folder is that of an ensemble."""
    from orbmm.ensemble.layout import is_ensemble

    return is_ensemble(folder)


def analyze_replicas(
    folder: Path, refused: Mapping[str, object], discard_ps: float | None, crystal: Path | None, site: str | None
) -> None:
    """Analyse an ensemble and print mean, spread and standard error of every number.

    refused: options that an ensemble does not take, None where one was not given. Exits with code 3 if a replica is
    unstable or has failed.
    """
    from orbmm.cli.host_memory import memory_within_reach
    from orbmm.ensemble.analyze import Choices, analyze_ensemble
    from orbmm.ensemble.page import is_sound, tell_verdict
    from orbmm.ensemble.state import count_states
    from orbmm.errors import AnalysisError

    given = [name for name, value in refused.items() if value is not None]
    if given:
        raise AnalysisError(f"{folder} is an ensemble, whose analysis takes no {given[0]}; give it for one run folder")
    with memory_within_reach():
        analysis = analyze_ensemble(folder, Choices(discard_ps, crystal, site))
    open_console().print(_tabulate(analysis))
    if analysis.left_out:
        say(f"left out: {count_states(analysis.left_out)}")
    say(f"tables: {folder / 'analysis'}; page: {folder / 'report.html'}")
    say(tell_verdict(analysis.replicas, analysis.left_out), bold=True)
    if not is_sound(analysis.replicas, analysis.left_out):
        raise typer.Exit(3)


def _tabulate(analysis: EnsembleAnalysis) -> Table:
    """Return a table of the quantities that differ between replicas, below their observables.

    With a sweep, each quantity has a line for each point, with the difference from the first one.
    """
    from rich.padding import Padding
    from rich.table import Table

    from orbmm.analysis.result import find_title, name_quantity, write_unit
    from orbmm.ensemble.spread import group_varying

    several = len({one.point for one in analysis.spreads}) > 1
    table = Table(box=None, pad_edge=False)
    columns = ("quantity", "mean ± error", "spread", "n", *(["difference"] if several else []))
    for name in columns:
        table.add_column(name, no_wrap=name != "quantity")
    for observable, quantities in group_varying(analysis.spreads).items():
        table.add_row(find_title(observable), style="bold")
        for quantity, spreads in quantities.items():
            unit = write_unit(spreads[0].unit)
            name = name_quantity(quantity) + (f" [{unit}]" if unit else "")
            if several:
                table.add_row(Padding(name, (0, 0, 0, 2)))
            for one in spreads:
                label = Padding(one.point, (0, 0, 0, 4)) if several else Padding(name, (0, 0, 0, 2))
                spread = f"{one.spread:.2g}" if one.count > 1 else ""
                cells = [one.text, spread, str(one.count)]
                table.add_row(label, *cells, *([one.difference_text] if several else []))
    return table
