"""`orbmm report`: write an HTML page about a run, which needs no other files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orbmm.cli.host_memory import memory_within_reach
from orbmm.cli.screen import say


def report(
    run: Annotated[Path | None, typer.Argument(help="Run folder that orbmm run has written.")] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="Instead of a run folder: a trajectory of any program.")
    ] = None,
    topology: Annotated[Path | None, typer.Option(help="PDB or mmCIF file with the trajectory's atoms.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html in RUN or beside the trajectory.")
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
) -> None:
    """Analyse a run and write one HTML page: verdict, figures, numbers, a 3-D view and the settings.

    The page needs no network connection. Exit code 3 when the run is not stable.
    """
    from orbmm.analysis import analyze_recording
    from orbmm.cli.analyze import find_folder, open_recording
    from orbmm.report.page import check_page, write_page
    from orbmm.run_files.diagnosis import read_diagnosis
    from orbmm.run_files.layout import RunFolder

    with memory_within_reach():
        recording = open_recording(run, trajectory, topology, frame_ps)
        path = output or find_folder(run, trajectory, topology) / "report.html"
        check_page(path)
        analysis = analyze_recording(recording, discard_ps, crystal=crystal, site=site)
        settings = (run / "settings.toml").read_text(encoding="utf-8") if run is not None else ""
        kept = None if run is None else RunFolder(run).diagnosis
        diagnosis = read_diagnosis(kept) if kept is not None and kept.is_file() else None
        write_page(recording, analysis, path, settings, diagnosis)
    say(f"report: {path}")
    say(analysis.verdict.line)
    if not analysis.verdict.stable:
        raise typer.Exit(3)
