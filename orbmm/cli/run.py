"""`orbmm run`: run a simulation from SYSTEM.toml, show its progress, and analyse it at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orbmm.cli.follow import follow_progress, tell
from orbmm.cli.host_memory import memory_of_a_run_within_reach
from orbmm.errors import SettingsError
from orbmm.plain_text import describe_value, quote_command

if TYPE_CHECKING:
    from orbmm.settings import Settings
    from orbmm.simulation.run import Outcome

LOCK_HELP = "Lock the run folder; --no-lock for a file system that has no locks."
_MOST_STEPS = 10**15


def run(
    system: Annotated[Path, typer.Argument(metavar="SYSTEM.toml", help="What to simulate and how.")],
    output: Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name>.")] = None,
    length_ps: Annotated[float | None, typer.Option(help="Total length, in ps.")] = None,
    steps: Annotated[int | None, typer.Option(help="Total length in steps, instead of --length-ps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of velocities and bath.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Local weights file of the model.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float64, float32-highest, float32-high, float16 or bfloat16.")
    ] = None,
    force: Annotated[str | None, typer.Option(help="auto, TorchForce or PythonForce.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Save and end after this wall-clock time.")] = None,
    use_lock: Annotated[bool, typer.Option("--lock/--no-lock", help=LOCK_HELP)] = True,
    analyze: Annotated[bool, typer.Option(help="Analyse the run when it is complete.")] = True,
    show: Annotated[str | None, typer.Option(metavar="rmsd", help="Show the RMSD from the start, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
    log: Annotated[Path | None, typer.Option(help="Append progress and messages to this file, not the screen.")] = None,
) -> None:
    """Simulate a prepared system: the stages in its file, or else minimise, then Langevin dynamics."""
    from orbmm.settings import override_settings, read_settings
    from orbmm.simulation.run import start_run

    settings = read_settings(system)
    changes: dict[str, dict[str, Any]] = {
        "model": {"weights": _make_absolute(weights), "device": device, "precision": precision, "force": force},
        "run": {
            "output": output,
            "seed": seed,
            "length_ps": _choose_length(settings, length_ps, steps),
            "show_rmsd": _choose_rmsd(settings, show),
        },
    }
    settings = override_settings(settings, changes)
    with follow_progress(quiet, log) as on_progress, memory_of_a_run_within_reach():
        outcome = start_run(settings, on_progress, max_hours=max_hours, use_lock=use_lock)
        tell(describe_outcome(outcome), quiet and outcome.finished, log)
    conclude(outcome, analyze)


def describe_outcome(outcome: Outcome) -> str:
    """Return a sentence on the state of a run, and on how to continue it if it is not complete."""
    folder = _shorten(outcome.folder)
    if outcome.finished:
        return f"complete: {outcome.step} steps in {folder}"
    stage = "" if outcome.stage == "produce" else f" of {outcome.stage}"
    return f"stopped in order at step {outcome.step}{stage}; go on with: {quote_command('orbmm', 'resume', folder)}"


def conclude(outcome: Outcome, analyze: bool) -> None:
    """Analyse a run if it is complete and analysis is requested."""
    if not (outcome.finished and analyze):
        return
    from orbmm.cli.analyze import analyze as analyze_run

    analyze_run(outcome.folder)


def _choose_length(settings: Settings, length_ps: float | None, steps: int | None) -> float | None:
    if length_ps is None and steps is None:
        return None
    if settings.stage and settings.stage[-1].length_ps is not None:
        raise SettingsError("the last [[stage]] says its own length_ps: change it there, or take it out")
    if steps is None:
        return length_ps
    if length_ps is not None:
        raise SettingsError("give --length-ps or --steps, not both")
    if not 1 <= steps <= _MOST_STEPS:
        raise SettingsError(f"--steps is {describe_value(steps)}, but must be at least 1 and at most {_MOST_STEPS}")
    return steps * settings.production.timestep_fs / 1000.0


def _choose_rmsd(settings: Settings, show: str | None) -> str | None:
    if show is None:
        return None
    if show != "rmsd":
        raise SettingsError(f"--show is {show}, but can only be rmsd")
    return settings.run.show_rmsd or "solute heavy"


def _make_absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()


def _shorten(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
