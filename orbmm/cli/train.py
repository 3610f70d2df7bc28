"""`orbmm train`: train a network on labelled frames, and show how its errors fall."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.processes import run_processes
from orbmm.cli.screen import open_console, say
from orbmm.errors import OrbmmError, UnstableRun
from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from rich.table import Table

    from orbmm.settings import TrainingSettings
    from orbmm.training.steps.task import Trained
    from orbmm.training.validation.errors import Errors

_COLUMNS = {
    "step": ("step", "{:7.0f}"),
    "seconds": ("s", "{:7.0f}"),
    "forces_loss": ("force loss", "{:10.4f}"),
    "energy_mev_per_atom": ("meV/atom", "{:8.2f}"),
    "forces_mev_per_angstrom": ("meV/Å", "{:7.1f}"),
    "expected_mev_per_angstrom": ("expected", "{:8.1f}"),
    "old_forces_mev_per_angstrom": ("old meV/Å", "{:9.1f}"),
    "rollout": ("dynamics", "{}"),
}


def train(
    settings: Annotated[Path, typer.Argument(metavar="TRAINING.toml", help="What to train, on what, and how.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder of the training; default: training/<name>.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes of this machine that share each batch.")] = 1,
) -> None:
    """Train a network on labelled frames: from random weights, an official checkpoint, or a model of your own."""
    if processes > 1:
        words = [
            "train",
            str(settings),
            *(["--resume"] if resume else []),
            *(["--output", str(output)] if output else []),
        ]
        raise typer.Exit(run_processes(words, processes))
    from orbmm.training.parallel import was_launched_as_first
    from orbmm.training.run import run_training

    if was_launched_as_first():
        try:
            trained = run_training(_read(settings, output), resume, RowPrinter())
        except KeyboardInterrupt:
            say("stopped; go on from the last save with --resume")
            raise
        _tell_end(trained)
        return
    logging.getLogger("orbmm").setLevel(logging.CRITICAL)
    try:
        run_training(_read(settings, output), resume)
    except OrbmmError as error:  # the first process says it
        raise typer.Exit(error.exit_code) from error


def _read(path: Path, output: Path | None) -> TrainingSettings:
    import dataclasses

    from orbmm.settings import read_training_settings

    read = read_training_settings(path)
    if output is None:
        return read
    return dataclasses.replace(read, run=dataclasses.replace(read.run, output=output.resolve()))


class RowPrinter:
    """A printer of the rows of history.csv, with their heading before the first."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, row: dict[str, float | str]) -> None:
        known = {name: column for name, column in _COLUMNS.items() if name in row}
        if not self._begun:
            self._begun = True
            say("  ".join(head.rjust(len(shape.format(0))) for head, shape in known.values()))
        say("  ".join(shape.format(row[name]) for name, (_, shape) in known.items()))


def _tell_end(trained: Trained) -> None:
    console = open_console()
    if trained.after:
        console.print(_tabulate(trained.before, trained.after))
    _tell_confidence(trained)
    if trained.stopped_early:
        say("stopped: the force error no longer falls; the weights are those of its lowest value")
    say(f"written: {trained.weights}")
    if trained.instability is not None:
        raise UnstableRun(
            f"dynamics with the trained weights break: {trained.instability}; train for more steps or on more frames"
        )
    say(f'next: set weights = "{trained.weights}" and name = "orbmm" in [model] of a system.toml, then {_RUN}')


def _tell_confidence(trained: Trained) -> None:
    if trained.recalibration is None:
        return
    from orbmm.cli.calibration import tabulate_bins, tabulate_recalibration

    console = open_console()
    console.print(tabulate_recalibration(trained.recalibration))
    for name, found in trained.recalibration.after.items():
        console.print(tabulate_bins(name, found))


_RUN = quote_command("orbmm", "run", "system.toml")


def _tabulate(before: dict[str, Errors], after: dict[str, Errors]) -> Table:
    """Return a table of the errors on held-out frames, before and after."""
    from rich.table import Table

    table = Table(title="\nerrors on held-out frames, before → after", title_justify="left", box=None, pad_edge=False)
    for name, justify in (("group", "left"), ("frames", "right"), ("meV/atom", "right"), ("meV/Å", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for group, errors in after.items():
        start = before[group]
        table.add_row(
            group,
            str(errors.frames),
            f"{start.energy_mev_per_atom:.2f} → {errors.energy_mev_per_atom:.2f}",
            f"{start.forces_mev_per_angstrom:.1f} → {errors.forces_mev_per_angstrom:.1f}",
        )
    return table
