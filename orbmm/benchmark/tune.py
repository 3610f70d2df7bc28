"""Measure on a system how its network is computed fastest: `orbmm benchmark --tune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orbmm.benchmark.cases import Atoms
from orbmm.benchmark.measure import make_topology
from orbmm.errors import SettingsError
from orbmm.first_contact.case import Case
from orbmm.forces.resolve import ResolvedModel, resolve_for_run
from orbmm.forces.tuned import describe_choice, describe_execution, is_tunable, measure_now, read_case
from orbmm.settings import ModelSettings, Settings
from orbmm.simulation.start.structure import read_start
from orbmm.tuning.candidates import OPEN, THREADS_VARIABLE
from orbmm.tuning.choose import choose, count_worthy_steps
from orbmm.tuning.record import Record, Row, find_path
from orbmm.units import ANGSTROM_PER_NM

HEADER = f"{'candidate':44} {'ms':>9} {'CPU ms':>9} {'first s':>8}  answers"
OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """A model on the atoms that are measured. steps: of the run, None if it has no length"""

    resolved: ResolvedModel
    case: Case
    steps: int | None


def read_subject(settings: Settings) -> Subject:
    """Return the system of a settings file. Raises the errors of a run that starts."""
    start = read_start(settings.system)
    steps = sum(stage.steps for stage in settings.stages)
    return Subject(
        resolve_for_run(_open(settings.model), len(start.positions), None),
        read_case(start.topology, start.positions, settings.model),
        steps,
    )


def make_subject(atoms: Atoms, model: ModelSettings) -> Subject:
    """Return the atoms of a case of the benchmark with a model."""
    positions = np.asarray(atoms.positions) / ANGSTROM_PER_NM
    return Subject(
        resolve_for_run(_open(model), len(positions), None), read_case(make_topology(atoms), positions, model), None
    )


def _open(model: ModelSettings) -> ModelSettings:
    """Return settings that are to be measured, whatever they say of it. Raises SettingsError if all is decided."""
    measured = dataclasses.replace(model, tune="measure")
    if model.fast is not None:
        raise SettingsError(f'fast = "{model.fast}" is not measured: remove it, or set threads and compile by hand')
    if not is_tunable(measured):
        raise SettingsError(f"nothing is left to measure: [model] or {THREADS_VARIABLE} decides {', '.join(OPEN)}")
    return measured


def tune_subject(subject: Subject, say: OnLine) -> Record:
    """Measure all candidates, print a line for each and what is chosen; the record is kept in the cache.

    Raises SettingsError if there is nothing to measure, or if no answers pass.
    """
    say(f"{subject.resolved.record.name} on {len(subject.case.atomic_numbers)} atoms")
    say(HEADER)
    record = measure_now(subject.resolved, subject.case, may_compile=True, on_row=lambda row: say(format_row(row)))
    if record is None:
        raise SettingsError("there is one candidate only, so nothing to measure: one thread, or all is decided")
    chosen = choose(record.rows, subject.steps)
    if chosen is None:
        raise SettingsError("no candidate can be taken: see the reasons above")
    say(describe_choice(record, chosen))
    for line in _describe_compilation(record, chosen):
        say(line)
    say(f"kept in {find_path(record.situation)}")
    return record


def format_row(row: Row) -> str:
    """Return the line of a candidate."""
    name = describe_execution(row.execution)
    if row.fault is not None:
        return f"{name:44} {'-':>9} {'-':>9} {'-':>8}  no: {row.fault}"
    return f"{name:44} {1000 * row.evaluation_s:9.1f} {1000 * row.cpu_s:9.1f} {row.first_s:8.1f}  pass"


def _describe_compilation(record: Record, chosen: Row) -> list[str]:
    """Return a line that tells when compilation pays, if it was measured."""
    if "compile" not in record.varied:
        return []
    worthy = count_worthy_steps(record.rows)
    if worthy is None:
        return ["compilation does not pay here"]
    return [
        f"compilation pays in runs of {worthy:,} steps and more" + (", as this one" if chosen.execution.compile else "")
    ]
