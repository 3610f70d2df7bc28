"""`orbmm resume`: an interrupted run, continued."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orbmm.cli.run import conclude, follow_progress


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `orbmm run` made.")],
    analyze: Annotated[bool, typer.Option(help="Analyse the run when it is complete.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
) -> None:
    """Continue an interrupted run from its last checkpoint to the length in its settings."""
    from orbmm.simulation.resume import resume_run

    with follow_progress(quiet) as on_progress:
        outcome = resume_run(folder, on_progress)
    conclude(outcome, analyze, quiet)
