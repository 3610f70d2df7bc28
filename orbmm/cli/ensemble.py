"""`orbmm ensemble`: run many replicas of a system, and show where they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import open_console, say
from orbmm.errors import SettingsError
from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from orbmm.ensemble.plan import Plan, Replica
    from orbmm.ensemble.run import Update
    from orbmm.ensemble.state import ReplicaState

_SECONDS_BETWEEN_LINES = 15.0
_ROWS_BESIDE_TABLE = 8
_STATUS = "status"


def ensemble(
    ensemble: Annotated[str, typer.Argument(metavar="ENSEMBLE.toml", help="What to run, or the word status.")],
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="With status: folder of an ensemble.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the replicas and their predicted time; run nothing.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="benchmark.json", help="With --dry-run: what was measured before."),
    ] = None,
    max_hours: Annotated[float | None, typer.Option(help="Save and end after this wall-clock time.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
) -> None:
    """Run replicas of a system, by seed and over settings, on local processes, a Dask scheduler or a cluster.

    The same command goes on where the ensemble was. `orbmm ensemble status FOLDER` shows where it is.

    Exit code 3 when a replica is unstable or failed.
    """
    given = {"--dry-run": dry_run, "--from": source, "--max-hours": max_hours, "--quiet": quiet}
    if ensemble == _STATUS:
        _refuse_idle(given, "orbmm ensemble status", ())
        _show_status(folder)
        return
    if folder is not None:
        raise SettingsError(f"FOLDER is for `orbmm ensemble status FOLDER`; {folder} is one argument too many")
    from orbmm.ensemble.plan import plan_ensemble
    from orbmm.ensemble.run import run_ensemble
    from orbmm.ensemble.state import STOPPED, WAITING
    from orbmm.settings import read_ensemble_settings

    settings = read_ensemble_settings(Path(ensemble))
    if dry_run:
        _refuse_idle(given, "--dry-run", ("--dry-run", "--from"))
        _show_plan(plan_ensemble(settings), source)
        return
    _refuse_idle(given, "orbmm ensemble without --dry-run", ("--max-hours", "--quiet"))
    with _follow(quiet) as on_update:
        states = run_ensemble(settings, on_update, max_hours)
    _conclude(states, quiet)
    if any(one.state in (STOPPED, WAITING) for one in states):
        say(f"stopped in order; go on with: {quote_command('orbmm', 'ensemble', Path(ensemble))}")


def _refuse_idle(given: Mapping[str, object], where: str, useful: Collection[str]) -> None:
    """Raise SettingsError for an option that is given but does nothing there."""
    idle = [name for name, value in given.items() if value not in (None, False) and name not in useful]
    if idle:
        raise SettingsError(f"{idle[0]} does nothing for {where}; remove it")


@contextmanager
def _follow(quiet: bool) -> Iterator[Callable[[Update], None]]:
    """Yield a function that shows updates: a live table on a terminal, lines at intervals elsewhere."""
    import logging

    from orbmm.ensemble.run import ignore_update

    console = open_console()
    if quiet:
        logging.getLogger("orbmm").setLevel(logging.WARNING)
        yield ignore_update
    elif not console.is_terminal:
        yield _LinePrinter()
    else:
        from rich.live import Live

        from orbmm.ensemble.watch import build_table

        with Live(console=console, auto_refresh=False) as live:
            first = _DashboardPrinter()

            def show(update: Update) -> None:
                first(update)
                live.update(build_table(update.states, max(1, console.height - _ROWS_BESIDE_TABLE)), refresh=True)

            yield show


class _DashboardPrinter:
    """A printer of the address of Dask's page, once."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, update: Update) -> None:
        if update.dashboard and not self._said:
            self._said = True
            say(f"Dask's page: {update.dashboard}")


class _LinePrinter:
    """A printer of one line for all replicas, at intervals."""

    def __init__(self) -> None:
        self._dashboard = _DashboardPrinter()
        self._last = float("-inf")

    def __call__(self, update: Update) -> None:
        from orbmm.ensemble.watch import describe_ensemble

        self._dashboard(update)
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            say(describe_ensemble(update.states))


def _conclude(states: tuple[ReplicaState, ...], quiet: bool) -> None:
    """Say how the replicas ended. Exits with code 3 if one of them is unstable or failed."""
    from orbmm.ensemble.state import FAILED, UNSTABLE, count_states
    from orbmm.ensemble.watch import list_sentences

    bad = any(one.state in (UNSTABLE, FAILED) for one in states)
    if bad or not quiet:
        for line in [*list_sentences(states), count_states(states)]:
            say(line)
    if bad:
        raise typer.Exit(3)


def _show_status(folder: Path | None) -> None:
    """Print the states of an ensemble, as its folder shows them."""
    from orbmm.ensemble.layout import EnsembleFolder
    from orbmm.ensemble.state import read_states
    from orbmm.ensemble.watch import build_table, list_sentences

    if folder is None:
        raise SettingsError("status needs the folder of an ensemble: orbmm ensemble status FOLDER")
    states = read_states(EnsembleFolder(folder.resolve()))
    open_console().print(build_table(states, len(states)))
    for line in list_sentences(states):
        say(line)


def _show_plan(plan: Plan, source: Path | None) -> None:
    """Print the replicas, and the time that `orbmm estimate` predicts for them on this machine."""
    from orbmm.ensemble.scheduler import choose_gpus, choose_workers, find_obstacle
    from orbmm.ensemble.watch import format_seconds

    scheduler, ended = plan.settings.scheduler, _find_ended(plan)
    say(f"{len(plan.replicas)} replicas in {plan.folder.path}")
    alike: dict[object, list[Replica]] = {}
    for replica in plan.replicas:
        length_ps = sum(one.steps * one.timestep_fs for one in replica.settings.stages) / 1000.0
        say(f"  {replica.name}: {length_ps:g} ps{f', {ended[replica.name]}' if replica.name in ended else ''}")
        if replica.name in ended:
            continue
        alike.setdefault((replica.settings.model, replica.settings.system), []).append(replica)
    left = len(plan.replicas) - len(ended)
    if not left:
        say("nothing is left to run")
        return
    if obstacle := find_obstacle(scheduler):
        say(f"not ready to run: {obstacle}")
    seconds = sum(_estimate(replicas, scheduler.threads, source) for replicas in alike.values())
    line = f"one after the other: {format_seconds(seconds)}"
    if scheduler.kind != "address":
        devices = [one.settings.model.device for one in plan.replicas if one.name not in ended]
        gpus = choose_gpus(scheduler, devices) if scheduler.kind == "local" else None
        workers = min(choose_workers(scheduler, gpus), left)
        line += f"; with {workers} workers, if none slows the others down: {format_seconds(seconds / workers)}"
    say(line)


def _find_ended(plan: Plan) -> dict[str, str]:
    """Return the states of the replicas that would not run again, by name."""
    from orbmm.ensemble.layout import is_ensemble
    from orbmm.ensemble.run import NOT_RUN_AGAIN
    from orbmm.ensemble.state import read_state

    if not is_ensemble(plan.folder.path):
        return {}
    begun = [one for one in plan.replicas if plan.folder.replica(one.name).is_begun]
    states = [read_state(plan.folder.replica(one.name), one.member) for one in begun]
    return {one.member.name: one.state for one in states if one.state in NOT_RUN_AGAIN}


def _estimate(replicas: list[Replica], threads: int, source: Path | None) -> float:
    """Print what is predicted for replicas with one model and structure; return their time in all [s]."""
    from orbmm.benchmark.estimate import iterate_estimates, list_ways
    from orbmm.cli.estimate import HEADER, count_edges, format_estimate, name_network
    from orbmm.model.inference.memory import read_free_bytes
    from orbmm.model.precision import find_device

    settings = replicas[0].settings
    model, device = settings.model, find_device(settings.model.device)
    atoms, edges = count_edges(settings)
    ways = list_ways(name_network(model), model.precision, device.type, model.edges_per_block)
    way = next((one for one in ways if one.memory == model.memory), ways[0])
    machine = (device, threads, read_free_bytes(device) / 1e6)
    one = next(iter(iterate_estimates([way], source, machine, edges, settings.run.timestep_fs)))
    where = settings.system.structure or settings.system.state
    say(f"{len(replicas)} with {model.name}, {'' if where is None else where.name}: {atoms} atoms, {edges} edges")
    say(HEADER)
    say(format_estimate(one))
    return one.step_s * sum(stage.steps for replica in replicas for stage in replica.settings.stages)
