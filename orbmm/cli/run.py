"""`orbmm run`: a simulation from SYSTEM.toml, drawn while it goes on and analysed at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from orbmm.settings import Settings
    from orbmm.simulation.progress import Progress
    from orbmm.simulation.run import Outcome

_SECONDS_BETWEEN_LINES = 15.0


def run(
    system: Annotated[Path, typer.Argument(metavar="SYSTEM.toml", help="What to simulate and how.")],
    output: Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name>.")] = None,
    length_ps: Annotated[float | None, typer.Option(help="Total length [ps].")] = None,
    steps: Annotated[int | None, typer.Option(help="Total length in steps, instead of --length-ps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of velocities and bath.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Local weights file of the model.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = None,
    precision: Annotated[str | None, typer.Option(help="float64, float32-highest or float32-high.")] = None,
    force: Annotated[str | None, typer.Option(help="auto, TorchForce or PythonForce.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Save and end after this wall-clock time.")] = None,
    analyze: Annotated[bool, typer.Option(help="Analyse the run when it is complete.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
) -> None:
    """Simulate a prepared system: the stages in its file, or else minimise, then Langevin dynamics."""
    from orbmm.settings import override_settings, read_settings
    from orbmm.simulation.run import start_run

    settings = read_settings(system)
    changes = {
        "model": {"weights": _make_absolute(weights), "device": device, "precision": precision, "force": force},
        "run": {"output": output, "seed": seed, "length_ps": _choose_length(settings, length_ps, steps)},
    }
    settings = override_settings(settings, changes)
    with follow_progress(quiet) as on_progress:
        outcome = start_run(settings, on_progress, max_hours=max_hours)
    conclude(outcome, analyze, quiet)


@contextmanager
def follow_progress(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A function that draws progress: a bar on a terminal, now and then a line elsewhere, nothing when quiet."""
    from rich.console import Console

    from orbmm.simulation.progress import ignore_progress

    console = Console()
    if quiet:
        logging.getLogger("orbmm").setLevel(logging.WARNING)
        yield ignore_progress
    elif console.is_terminal:
        with _open_bar(console) as draw:
            yield draw
    else:
        yield _LinePrinter()


def conclude(outcome: Outcome, analyze: bool, quiet: bool) -> None:
    """Say where the run lies; analyse it if it is complete, else say how to go on."""
    folder = _shorten(outcome.folder)
    if not outcome.finished:
        stage = "" if outcome.stage == "produce" else f" of {outcome.stage}"
        typer.echo(f"stopped in order at step {outcome.step}{stage}; go on with: orbmm resume {folder}")
        return
    if not quiet:
        typer.echo(f"complete: {outcome.step} steps in {folder}")
    if analyze:
        from orbmm.cli.analyze import analyze as analyze_run

        analyze_run(outcome.folder)


def _choose_length(settings: Settings, length_ps: float | None, steps: int | None) -> float | None:
    if steps is None:
        return length_ps
    if length_ps is not None:
        raise typer.BadParameter("give --length-ps or --steps, not both")
    if steps < 1:
        raise typer.BadParameter(f"--steps is {steps}, but must be at least 1")
    return steps * settings.run.timestep_fs / 1000.0


def _make_absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()


def _shorten(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextmanager
def _open_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda progress: bar.update(
            task, total=progress.total_steps, completed=progress.step, description=_describe(progress)
        )


class _LinePrinter:
    """Prints progress as plain lines, the first and the last always."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES or progress.step == progress.total_steps:
            self._last = now
            typer.echo(_describe(progress))


def _describe(progress: Progress) -> str:
    """One line: stage, steps, ps, temperature, potential energy, RMSD if wanted, speed, time left."""
    rmsd = "" if progress.rmsd_nm is None else f"RMSD {progress.rmsd_nm:.3f} nm  "
    stage = "" if progress.stage == "produce" else f"{progress.stage}  "
    return (
        f"{stage}step {progress.step}/{progress.total_steps}  {progress.time_ps:.3f} ps  "
        f"{progress.temperature_kelvin:.0f} K  {progress.potential_energy_kj_mol:.1f} kJ/mol  "
        f"{rmsd}{progress.ns_per_day:.3g} ns/day  {_format_duration(progress.seconds_left)} left"
    )


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
