"""Show the states of an ensemble: a table, and lines where there is no terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orbmm.ensemble.state import ENDED, RUNNING, STATES, ReplicaState, count_states

if TYPE_CHECKING:
    from rich.table import Table

MOST_ROWS = 40
_FIRST = {state: number for number, state in enumerate((RUNNING, "stopped", "unstable", "failed", "waiting"))}


def build_table(states: Sequence[ReplicaState], most_rows: int = MOST_ROWS) -> Table:
    """Return a table of the replicas with their speed and time left, and a last line for all of them.

    most_rows: of replicas; those that run, and those that need attention, come first where not all have room
    """
    from rich.table import Table

    shown = sorted(states, key=lambda one: _FIRST.get(one.state, len(STATES))) if len(states) > most_rows else states
    table = Table(box=None, pad_edge=False, show_footer=True)
    rest = len(states) - most_rows
    table.add_column("replica", f"{count_states(states)}" + (f"; {rest} not shown" if rest > 0 else ""))
    table.add_column("state")
    table.add_column("ps", f"{sum(one.time_ps for one in states):.3f}", justify="right")
    table.add_column("ns/day", f"{speed:.3g}" if (speed := sum_speeds(states)) else "", justify="right")
    table.add_column("left", format_seconds(estimate_seconds(states)), justify="right")
    for one in list(shown)[:most_rows]:
        running = one.state == RUNNING
        table.add_row(
            one.member.name,
            one.state,
            f"{one.time_ps:.3f}/{one.length_ps:g}",
            f"{one.ns_per_day:.3g}" if running and one.ns_per_day else "",
            format_seconds(one.seconds_left) if running else "",
        )
    return table


def describe_ensemble(states: Sequence[ReplicaState]) -> str:
    """Return one line: states, time that is done, speed of all together, time left."""
    done, whole = sum(one.time_ps for one in states), sum(one.length_ps for one in states)
    parts = [count_states(states), f"{done:.3f} of {whole:g} ps"]
    if sum_speeds(states) > 0.0:
        parts += [f"{sum_speeds(states):.3g} ns/day", f"{format_seconds(estimate_seconds(states))} left"]
    return "  ".join(parts)


def list_sentences(states: Sequence[ReplicaState]) -> list[str]:
    """Return a line for each replica that did not come to its end by itself, with the reason."""
    return [f"{one.member.name}: {one.state}: {one.sentence}" for one in states if one.sentence]


def sum_speeds(states: Sequence[ReplicaState]) -> float:
    """Return the speed of the replicas that run now, together [ns/day]."""
    return sum(one.ns_per_day for one in states if one.state == RUNNING)


def estimate_seconds(states: Sequence[ReplicaState]) -> float:
    """Return the time until all are complete at the present speed [s]; NaN if nothing runs."""
    speed = sum_speeds(states)
    left_ns = sum(one.length_ps - one.time_ps for one in states if one.state not in ENDED) / 1000.0
    return left_ns / speed * 86400.0 if speed > 0.0 else math.nan


def format_seconds(seconds: float) -> str:
    """Return a time as h:mm:ss; "" if it is not known."""
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
