"""`orbmm analyze`: numbers, figures and a verdict from a run folder or a trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.host_memory import memory_within_reach
from orbmm.cli.screen import open_console, say
from orbmm.errors import AnalysisError

_LEAST_TABLE = 64  # columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from orbmm.analysis import Analysis, Recording, Update


def analyze(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder that orbmm run has written, or folder of an ensemble.")
    ] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="Instead of a run folder: a trajectory of any program (XTC, DCD, ...).")
    ] = None,
    topology: Annotated[Path | None, typer.Option(help="PDB or mmCIF file with the trajectory's atoms.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: analysis/ in RUN or beside the trajectory.")
    ] = None,
    discard_ps: Annotated[
        float | None, typer.Option(min=0.0, help="Start of the run that averages leave out, in ps.")
    ] = None,
    crystal: Annotated[
        Path | None, typer.Option(help="PDB entry that shape and fluctuation are compared with.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Binding site as a selection of mdtraj, such as 'resSeq 94 96 119'.")
    ] = None,
    frame_ps: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --trajectory: time between two frames, in place of the file's, in ps."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again and again at a run that still goes on, until it is complete.")
    ] = False,
    every_s: Annotated[float, typer.Option(min=0.1, help="With --follow: least time between two, in seconds.")] = 30.0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the frames of costly observables (Dask, extra ensemble)."),
    ] = None,
) -> None:
    """Analyse structure, metal site, chemistry, water, temperature and energy of a run, and judge its stability.

    Writes results.json, and for each observable a table (CSV, NPZ) and a figure (PNG, SVG). Exit code 3 when the run is
    not stable.

    Of an ensemble: mean, spread and standard error between replicas, as ensemble.csv, ensemble.json and report.html.
    """
    from orbmm.analysis import analyze_recording, check_files, follow_run, list_files, open_workers
    from orbmm.cli.ensemble_analysis import analyze_replicas, holds_ensemble

    if run is not None and holds_ensemble(run):
        refused: dict[str, object] = {
            "--trajectory": trajectory,
            "--topology": topology,
            "--output": output,
            "--follow": follow or None,
            "--workers": workers,
        }
        analyze_replicas(run, refused, discard_ps, crystal, site)
        return
    if follow and (run is None or trajectory is not None or topology is not None):
        raise AnalysisError("--follow looks at a run that goes on: give its run folder and no trajectory")
    folder = output or find_folder(run, trajectory, topology) / "analysis"
    check_files(folder)

    def measure(recording: Recording) -> Analysis:
        """Analyse what a run folder or a trajectory holds now, and write it."""
        reference = recording.settings.analysis.reference if recording.settings else None
        inputs = tuple(path for path in (trajectory, topology, crystal, reference) if path is not None)
        check_files(folder, list_files(recording, crystal, site), inputs)
        analysis = analyze_recording(recording, discard_ps, crystal=crystal, site=site, workers=pool)
        _write(analysis, folder, inputs)
        return analysis

    with memory_within_reach(), open_workers(workers) as pool:
        if run is not None and follow:
            analysis = _follow(follow_run(run, every_s, discard_ps or 0.0), folder, measure)
        else:
            analysis = measure(open_recording(run, trajectory, topology, frame_ps))
    _tell(analysis, folder)
    if not analysis.verdict.stable:
        raise typer.Exit(3)


def _follow(updates: Iterator[Update], folder: Path, measure: Callable[[Recording], Analysis]) -> Analysis:
    """Print one line for each update until the run ends or Ctrl-C is pressed; return the last analysis."""
    analysis = None
    try:
        for update in updates:
            analysis = measure(update.recording)
            say(f"{update.frames} frames, {update.last_ps:g} ps: {analysis.verdict.line}")
    except KeyboardInterrupt as stop:
        say("no longer looking; the run itself goes on")
        if analysis is None:
            raise typer.Exit(0) from stop
    if analysis is None:
        raise AnalysisError(f"{folder.parent}: the run ended before there was anything to look at")
    return analysis


def _write(analysis: Analysis, folder: Path, inputs: tuple[Path, ...]) -> None:
    """Write figures and tables, then results.json, so that it never refers to files that are not there yet."""
    from orbmm.analysis import write_analysis
    from orbmm.report import write_figures

    write_figures(analysis.results, folder, ("png", "svg"))
    write_analysis(analysis, folder, inputs)


def _tell(analysis: Analysis, folder: Path) -> None:
    """Print numbers, findings, skipped observables with the reasons, and the verdict."""
    from orbmm.analysis.result import find_title
    from orbmm.report import list_findings

    for note in analysis.notes:
        say(f"note: {note}")
    _print_numbers(analysis)
    for line in list_findings(analysis.results):
        say(line)
    for name, reason in analysis.missing.items():
        say(f"{find_title(name)}: {reason}")
    say(f"tables and figures: {folder}")
    say(analysis.verdict.line, bold=True)


def find_folder(run: Path | None, trajectory: Path | None, topology: Path | None) -> Path:
    """Return the default parent folder of the results. Raises AnalysisError unless exactly one input is given."""
    if run is not None and trajectory is None and topology is None:
        return run
    if run is None and trajectory is not None and topology is not None:
        return trajectory.parent
    raise AnalysisError("give either a run folder, or --trajectory and --topology together")


def open_recording(
    run: Path | None, trajectory: Path | None, topology: Path | None, frame_ps: float | None = None
) -> Recording:
    """Return what is to be analysed. Raises AnalysisError, as `find_folder` does too."""
    from orbmm.analysis import read_plain_trajectory, read_run_folder

    folder = find_folder(run, trajectory, topology)
    if trajectory is not None and topology is not None:
        return read_plain_trajectory(trajectory, topology, frame_ps)
    if frame_ps is not None:
        raise AnalysisError("--frame-ps goes with --trajectory: a run folder knows its times")
    return read_run_folder(folder)


def _print_numbers(analysis: Analysis) -> None:
    """Print every number with its error and unit below its heading; as a table where there is room."""
    console = open_console()
    if console.width >= _LEAST_TABLE:
        console.print(_tabulate(analysis))
        return
    for result in analysis.results.values():
        say(result.title, bold=True)
        for row in result.rows():
            say(f"  {row.quantity}: {row.text} {row.unit}".rstrip())


def _tabulate(analysis: Analysis) -> Table:
    """Return a table of every number with its error and unit, below the heading of its observable."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("quantity")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for result in analysis.results.values():
        table.add_row(result.title, style="bold")
        for row in result.rows():
            table.add_row(Padding(row.quantity, (0, 0, 0, 2)), row.text, row.unit)
    return table
