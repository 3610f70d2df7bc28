"""Choose among measured candidates: the fastest whose answers pass."""

from __future__ import annotations

from collections.abc import Sequence

from orbmm.tuning.record import Row

ALIKE = 1.05
"""Candidates within this factor of the fastest are as fast: the fewest threads are taken, then the first row."""


def choose(rows: Sequence[Row], steps: int | None) -> Row | None:
    """Return the row to take, None if no row can be taken.

    steps: that a run takes, over which a compilation is spread; None if that is not known, and nothing is compiled
    """
    may_compile = steps is not None or all(row.execution.compile for row in rows)  # then the user has decided it
    passing = [row for row in rows if row.fault is None and (may_compile or not row.execution.compile)]
    if not passing:
        return None
    limit = ALIKE * min(compute_cost(row, steps) for row in passing)
    alike = [row for row in passing if compute_cost(row, steps) <= limit]
    return min(alike, key=lambda row: row.execution.threads or 0)  # of several such rows the first


def compute_cost(row: Row, steps: int | None) -> float:
    """Return the seconds of a step, with its share of the compilation."""
    return row.evaluation_s + (row.first_s / steps if row.execution.compile and steps else 0.0)


def count_worthy_steps(rows: Sequence[Row]) -> int | None:
    """Return from how many steps on compilation pays, None if it never does or was not measured."""
    plain = choose(rows, None)
    compiled = [row for row in rows if row.execution.compile and row.fault is None]
    if plain is None or not compiled:
        return None
    fastest = min(compiled, key=lambda row: row.evaluation_s)
    gained = plain.evaluation_s - fastest.evaluation_s
    return int(fastest.first_s / gained) + 1 if gained > 0.0 else None
