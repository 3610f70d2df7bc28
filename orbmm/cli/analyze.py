"""`orbmm analyze`: numbers, figures and a verdict from a run folder or a trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from orbmm.analysis import Analysis, Look, Recording


def analyze(
    run: Annotated[Path | None, typer.Argument(help="Run folder that orbmm run has written.")] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="Instead of a run folder: a trajectory of any program (XTC, DCD, ...).")
    ] = None,
    topology: Annotated[Path | None, typer.Option(help="PDB or mmCIF file with the trajectory's atoms.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: analysis/ in RUN or beside the trajectory.")
    ] = None,
    discard_ps: Annotated[
        float | None, typer.Option(min=0.0, help="Start of the run that averages leave out [ps].")
    ] = None,
    crystal: Annotated[
        Path | None, typer.Option(help="PDB entry that shape and fluctuation are compared with.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Binding site as a selection of mdtraj, such as 'resSeq 94 96 119'.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again and again at a run that still goes on, until it is complete.")
    ] = False,
    every_s: Annotated[float, typer.Option(min=0.1, help="With --follow: least time between two looks [s].")] = 30.0,
) -> None:
    """Measure what the system has of structure, metal site, chemistry, water, temperature and energy; judge stability.

    Writes results.json, and of each observable a table (CSV, NPZ) and a figure (PNG, SVG). Exit code 3 when the run is
    not stable.
    """
    from orbmm.analysis import analyze_recording, follow_run

    def measure(recording: Recording) -> Analysis:
        return analyze_recording(recording, discard_ps, crystal=crystal, site=site)

    if follow:
        if run is None or trajectory is not None or topology is not None:
            raise AnalysisError("--follow looks at a run that goes on: give its run folder and no trajectory")
        folder = output or run / "analysis"
        analysis = _follow(follow_run(run, every_s, discard_ps or 0.0), folder, measure)
    else:
        recording, beside = open_recording(run, trajectory, topology)
        folder = output or beside
        analysis = measure(recording)
        _write(analysis, folder)
    _tell(analysis, folder)
    if not analysis.verdict.stable:
        raise typer.Exit(3)


def _follow(looks: Iterator[Look], folder: Path, measure: Callable[[Recording], Analysis]) -> Analysis:
    """One line at each look, until the run has ended or Ctrl-C; the last analysis."""
    analysis = None
    try:
        for look in looks:
            analysis = measure(look.recording)
            _write(analysis, folder)
            typer.echo(f"{look.frames} frames, {look.last_ps:g} ps: {analysis.verdict.line}")
    except KeyboardInterrupt as stop:
        typer.echo("no longer looking; the run itself goes on")
        if analysis is None:
            raise typer.Exit(0) from stop
    if analysis is None:
        raise AnalysisError(f"{folder.parent}: the run ended before there was anything to look at")
    return analysis


def _write(analysis: Analysis, folder: Path) -> None:
    from orbmm.analysis import write_analysis
    from orbmm.report import write_figures

    write_analysis(analysis, folder)
    write_figures(analysis.results, folder, ("png", "svg"))


def _tell(analysis: Analysis, folder: Path) -> None:
    """Numbers, findings, what is missing and why, and the verdict."""
    from rich.console import Console

    from orbmm.report import list_findings

    console = Console(highlight=False)
    console.print(_tabulate(analysis))
    for line in list_findings(analysis.results):
        console.print(line, soft_wrap=True)
    for name, reason in analysis.missing.items():
        console.print(f"{name.replace('_', ' ')}: {reason}", soft_wrap=True)
    console.print(f"tables and figures: {folder}")
    console.print(analysis.verdict.line, style="bold", soft_wrap=True)


def open_recording(run: Path | None, trajectory: Path | None, topology: Path | None) -> tuple[Recording, Path]:
    """What to analyse, and the folder that its results go to by default."""
    from orbmm.analysis import read_plain_trajectory, read_run_folder

    if run is not None and trajectory is None and topology is None:
        return read_run_folder(run), run / "analysis"
    if run is None and trajectory is not None and topology is not None:
        return read_plain_trajectory(trajectory, topology), trajectory.parent / "analysis"
    raise AnalysisError("give either a run folder, or --trajectory and --topology together")


def _tabulate(analysis: Analysis) -> Table:
    """Every number with its unit and error, and every check with its limit."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("observable", "quantity", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for name, result in analysis.results.items():
        label = name.replace("_", " ")
        for row in result.rows():
            table.add_row(label, row.quantity, row.text, row.unit)
            label = ""
    return table
