"""`orbmm resume`: continue an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orbmm.cli.follow import follow_progress, tell
from orbmm.cli.host_memory import memory_of_a_run_within_reach
from orbmm.cli.run import LOCK_HELP, conclude, describe_outcome


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `orbmm run` made.")],
    extend: Annotated[
        str | None, typer.Option(metavar="TIME", help="Add this to the total length: 1ns, 500ps.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Set the total length; safe to repeat, as in a job: 3ns.")
    ] = None,
    max_hours: Annotated[float | None, typer.Option(help="Save and end after this wall-clock time.")] = None,
    force_new_settings: Annotated[
        bool, typer.Option("--force-new-settings", help="Take over edited settings and other weights.")
    ] = False,
    use_lock: Annotated[bool, typer.Option("--lock/--no-lock", help=LOCK_HELP)] = True,
    analyze: Annotated[bool, typer.Option(help="Analyse the run when it is complete.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
    log: Annotated[Path | None, typer.Option(help="Append progress and messages to this file, not the screen.")] = None,
) -> None:
    """Continue an interrupted run from its last checkpoint to the length in its settings, or beyond with --until."""
    from orbmm.settings import read_duration_ps
    from orbmm.simulation.folder.changes import ResumeRequest
    from orbmm.simulation.run import resume_run

    request = ResumeRequest(
        extend_ps=0.0 if extend is None else read_duration_ps(extend),
        until_ps=None if until is None else read_duration_ps(until),
        accept_changes=force_new_settings,
        max_hours=max_hours,
        use_lock=use_lock,
    )
    with follow_progress(quiet, log) as on_progress, memory_of_a_run_within_reach():
        outcome = resume_run(folder, on_progress, request=request)
        tell(describe_outcome(outcome), quiet and outcome.finished, log)
    conclude(outcome, analyze)
