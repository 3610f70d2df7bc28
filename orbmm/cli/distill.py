"""`orbmm distill`: make a fast student of a slow network for one's own system, and show how far to trust it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.follow import follow_progress
from orbmm.cli.label import print_labels
from orbmm.cli.screen import say
from orbmm.cli.train import RowPrinter
from orbmm.errors import UnstableRun
from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from orbmm.distillation.distill import Summary
    from orbmm.simulation.progress import OnProgress


def distill(
    teacher: Annotated[str, typer.Argument(help="Model that teaches: a name, or a weights file with its record.")],
    system: Annotated[Path, typer.Argument(metavar="SYSTEM.toml", help="The system that the student is for.")],
    student: Annotated[
        str, typer.Option(help="Model whose size and weights the student begins with: a name, or a weights file.")
    ] = "orb-mini-direct-inf-xtb",
    frames: Annotated[int, typer.Option(min=10, help="Frames of the teacher's dynamics, in all runs together.")] = 400,
    every_fs: Annotated[float, typer.Option(help="Time between two of these frames.")] = 50.0,
    temperature: Annotated[
        list[float] | None,
        typer.Option(help="Temperature of a run, in K; repeat for more. Default: the system's, and 1.3 of it."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 2000,
    rollout_ps: Annotated[float, typer.Option(help="Length of the student's own dynamics at the end.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that label.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Folder of it all; default: distill/<name of the system>.")
    ] = None,
) -> None:
    """Make a fast student of a slow network: its dynamics of the system, labels, a training, and a run of the student.

    Stopped and repeated, it goes on where it was.
    """
    from orbmm.distillation.distill import Display
    from orbmm.distillation.distill import distill as run_distillation
    from orbmm.distillation.plan import Plan, Sampling
    from orbmm.settings import read_settings

    settings = read_settings(system)
    folder = (output or Path("distill") / settings.system.name).resolve()
    sampling = Sampling(frames, every_fs, tuple(temperature or ()))
    plan = Plan(teacher, settings, folder, student, sampling, steps, rollout_ps)
    try:
        summary = run_distillation(plan, workers, Display(_follow_run, print_labels, RowPrinter()))
    except KeyboardInterrupt:
        say(_STOPPED)
        raise
    if summary is None:
        say(_STOPPED)
        return
    _tell(summary)
    if summary.instability is not None:
        raise UnstableRun(f"the student is not stable: {summary.instability}")


def _follow_run() -> AbstractContextManager[OnProgress]:
    return follow_progress(quiet=False)


def _tell(summary: Summary) -> None:
    """Print the summary in plain sentences."""
    cost, errors = summary.cost, summary.errors
    say("")
    say(f"labels: {cost.cpu_seconds:.3g} CPU-s a frame, {cost.frames} frames")
    for group, error in errors.items():
        say(
            f"errors to the teacher, {group}: {error.forces_mev_per_angstrom:.1f} meV/Å, "
            f"{error.energy_mev_per_atom:.2f} meV/atom ({error.frames} held-out frames)"
        )
    if summary.instability is None:
        say(f"the student's own dynamics: stable for {summary.rollout_ps:g} ps")
    say(f"written: {summary.weights}")
    if summary.instability is None:
        say(f'next: set weights = "{summary.weights}" and name = "orbmm" in [model], then {_RUN}')


_STOPPED = "stopped; repeat the command to go on"
_RUN = quote_command("orbmm", "run", "system.toml")
