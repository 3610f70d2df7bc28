"""Measure all candidates of a situation, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orbmm.first_contact.case import Case, build_case
from orbmm.first_contact.compare import build_reference
from orbmm.model.inference.execution import Execution
from orbmm.model.potential import ENERGY_AND_FORCES
from orbmm.tuning.candidates import Stage, list_candidates
from orbmm.tuning.choose import choose
from orbmm.tuning.measure import FEWEST, SECONDS_EACH, Doors, Measured, Trial, measure_candidate
from orbmm.tuning.record import Record, Row, Situation

SHARE_OF_RUN = 0.01
"""Measuring may take this share of the run that it makes faster."""

_LOADS, _SMALL_EVALUATIONS = 3, 12  # that it takes to compare: networks, and evaluations of a small box in float64

OnRow = Callable[[Row], None]


@dataclass(frozen=True)
class Question:
    """A request to measure: the user's atoms, the execution as the settings have it, and the stages.

    case: the user's atoms; paying_steps: of the run that may pay for it, None for whatever it takes
    """

    situation: Situation
    base: Execution
    stages: Sequence[Stage]
    case: Case
    paying_steps: int | None = None


def tune(question: Question, doors: Doors, on_row: OnRow = lambda row: None) -> Record | None:
    """Measure the candidates and return the record; None if there are none, or if the run is too short to pay for it.

    on_row: called with each row when it is known
    """
    if not question.stages or not _may_pay(question):
        return None
    trial = _prepare(question, doors)
    if trial is None:
        return None
    rows: list[Row] = []
    best: Measured | None = None
    for stage in question.stages:
        for execution in list_candidates(question.base if best is None else best.row.execution, stage):
            if execution in (row.execution for row in rows):
                continue
            measured = measure_candidate(execution, doors, trial, best)
            rows.append(measured.row)
            on_row(measured.row)
            if choose(rows, None) is measured.row:
                best = measured
    varied = tuple(name for stage in question.stages for name in stage.keys)
    return Record(question.situation, varied, tuple(rows)) if rows else None


def _may_pay(question: Question) -> bool:
    """Return False for a run that is too short for the fewest evaluations, before anything is loaded."""
    return question.paying_steps is None or SHARE_OF_RUN * question.paying_steps >= _count_evaluations(question)


def _count_evaluations(question: Question) -> int:
    """Return the fewest evaluations, in turns with the best candidate so far."""
    return _SMALL_EVALUATIONS + (2 * FEWEST + 1) * sum(len(stage.changes) for stage in question.stages)


def _prepare(question: Question, doors: Doors) -> Trial | None:
    """Return what candidates are compared with; None if a run is too short to pay for the comparison."""
    case, began = question.case, time.perf_counter()
    opened = doors.open(Execution(kernels="torch"))
    plain, loaded = opened.evaluate(), time.perf_counter()
    opened.evaluate()
    seconds_each = SECONDS_EACH
    if question.paying_steps is not None:
        evaluation_s = time.perf_counter() - loaded
        needed_s = _LOADS * (loaded - began) + evaluation_s * _count_evaluations(question)
        spare_s = SHARE_OF_RUN * question.paying_steps * evaluation_s - needed_s
        if spare_s < 0.0:
            return None
        seconds_each = min(seconds_each, spare_s / 2 / sum(len(stage.changes) for stage in question.stages))
    small = build_case(case.atomic_numbers.tolist(), case.cell is not None, case.charge, case.multiplicity)
    reference = build_reference(opened.potential, small, doors.load_on_cpu, ENERGY_AND_FORCES)
    return Trial(small, reference, plain, seconds_each)
