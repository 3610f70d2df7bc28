"""Measure one candidate: open it, time its evaluations, and compare its answers with the plain network."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from subprocess import SubprocessError
from typing import NamedTuple, Protocol

import torch

from orbmm.errors import DeviceError, OrbmmError
from orbmm.first_contact.case import Case
from orbmm.first_contact.compare import Answers, Errors, Reference, compare_with, measure_errors
from orbmm.first_contact.record import find_faults
from orbmm.model.inference.execution import Execution
from orbmm.model.potential import Potential
from orbmm.tuning.record import Row

SECONDS_EACH = 2.0
FEWEST, MOST = 3, 20
HOPELESS = 2.0
"""A candidate whose evaluations all take this many times as long as the best is not measured any longer."""

_TOO_LITTLE_MEMORY = "not enough memory"


@dataclass(frozen=True)
class Opened:
    """A candidate that is ready. potential: its network; evaluate: compute energy and forces of the user's system"""

    potential: Potential
    evaluate: Callable[[], Answers]


class Doors(Protocol):
    """A source of networks, opened as a run opens them."""

    def open(self, execution: Execution) -> Opened:
        """Return a network that is computed in this way."""
        ...

    def load_on_cpu(self, precision: str) -> Potential:
        """Return the plain network on the CPU, in the precision of this name."""
        ...


@dataclass(frozen=True)
class Trial:
    """The answers that candidates are compared with.

    case: a small box; reference: its right answers; plain: the answers of the plain network on the user's system
    seconds_each: for which a candidate is measured, unless that is less than FEWEST evaluations
    """

    case: Case
    reference: Reference
    plain: Answers
    seconds_each: float = SECONDS_EACH


class Times(NamedTuple):
    """Medians of an evaluation [s], and the time of the first one."""

    evaluation_s: float
    cpu_s: float
    first_s: float


@dataclass(frozen=True)
class Measured:
    """A candidate that was measured. opened: to be measured beside others; None on a GPU, whose memory is short"""

    row: Row
    opened: Opened | None = None


def measure_candidate(execution: Execution, doors: Doors, trial: Trial, best: Measured | None = None) -> Measured:
    """Measure a candidate, on a CPU in turns with the best one so far.

    Anything that goes wrong in it becomes its fault. Raises DeviceError if the GPU cannot be used any longer.
    """
    failures = _list_failures()
    try:
        opened = doors.open(execution)
        times, answers = take_times(opened, trial.seconds_each, best)
        fault = find_fault(execution, opened.potential, answers, trial)
    except (MemoryError, torch.OutOfMemoryError):
        return _fail(execution, _TOO_LITTLE_MEMORY)
    except failures as error:
        _require_working_gpu(trial.reference, execution, error)
        return _fail(execution, str(error).strip().partition("\n")[0] or type(error).__name__)
    return Measured(Row(execution, *times, fault), opened if opened.potential.device.type == "cpu" else None)


def _list_failures() -> tuple[type[BaseException], ...]:
    """Return the errors of a candidate that cannot be computed here, with those of Triton and of the compilers."""
    known = (OrbmmError, RuntimeError, AssertionError, ValueError, TypeError, ImportError, OSError, SubprocessError)
    if find_spec("triton") is None:
        return known
    from triton.errors import TritonError

    return (*known, TritonError)


def _fail(execution: Execution, fault: str) -> Measured:
    return Measured(Row(execution, math.inf, math.inf, math.inf, fault))


def _require_working_gpu(reference: Reference, execution: Execution, error: BaseException) -> None:
    """Raise DeviceError if a candidate broke the GPU for this process."""
    if reference.device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(reference.device)
    except RuntimeError as broken:
        raise DeviceError(
            f"the GPU failed while {execution} was measured ({str(error).partition(chr(10))[0]}): start again with "
            'tune = "skip" in [model]'
        ) from broken


def take_times(opened: Opened, seconds: float, best: Measured | None) -> tuple[Times, Answers]:
    """Return the times of evaluations, and the answers of the last one.

    Other programs on a processor change from second to second. So the best candidate so far, if it is open, is measured
    in turns with this one, and the time is that of the best one times the ratio of both.
    """
    first_s, _, answers = _evaluate(opened)
    walls: list[float] = []
    cpus: list[float] = []
    others: list[float] = []
    limit_s = HOPELESS * best.row.evaluation_s if best is not None else math.inf
    while len(walls) < FEWEST or (sum(walls) < seconds and len(walls) < MOST):
        wall_s, cpu_s, answers = _evaluate(opened)
        walls.append(wall_s)
        cpus.append(cpu_s)
        if best is not None and best.opened is not None:
            others.append(_evaluate(best.opened)[0])
            limit_s = HOPELESS * max(others)
        if len(walls) >= FEWEST - 1 and min(walls) > limit_s:
            break
    evaluation_s = statistics.median(walls)
    if best is not None and others:
        evaluation_s *= best.row.evaluation_s / statistics.median(others)
    return Times(evaluation_s, statistics.median(cpus), first_s), answers


def _evaluate(opened: Opened) -> tuple[float, float, Answers]:
    """Return the wall time and the processor time of one evaluation [s], and its answers."""
    wall, cpu = time.perf_counter(), time.process_time()
    answers = opened.evaluate()
    return time.perf_counter() - wall, time.process_time() - cpu, answers


def find_fault(execution: Execution, potential: Potential, answers: Answers, trial: Trial) -> str | None:
    """Return why the answers of a candidate do not pass, None if they do.

    They are compared on a small box as at a first contact, and on the user's system with the plain network.
    """
    may_vary = execution.compile or (potential.device.type == "cpu" and execution.threads != 1)
    comparison, _ = compare_with(potential, trial.case, trial.reference)
    faults = find_faults(comparison, may_vary)
    if faults:
        return "; ".join(faults)
    errors, limits = measure_errors(answers, trial.plain), scale_limits(trial)
    for name, words, unit in (
        ("forces_mev_per_angstrom", "forces differ", "meV/Å"),
        ("energy_mev_per_atom", "the energy differs", "meV/atom"),
    ):
        error, limit = getattr(errors, name), getattr(limits, name)
        if not error <= limit:
            return f"{words} by {error:.3g} {unit} from the plain network (limit {limit:.3g})"
    return None


def scale_limits(trial: Trial) -> Errors:
    """Return the limits for two answers on the user's system, each of which may be wrong by that of the small box.

    They are scaled by the root mean square force.
    """
    limits, factor = trial.reference.limits, 2.0 * _rms(trial.plain) / _rms(trial.reference.truth)
    return Errors(
        energy_mev_per_atom=factor * limits.energy_mev_per_atom,
        forces_mev_per_angstrom=factor * limits.forces_mev_per_angstrom,
        confidence=None,
    )


def _rms(answers: Answers) -> float:
    return float((answers.forces**2).mean() ** 0.5)
