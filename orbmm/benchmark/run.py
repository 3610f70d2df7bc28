"""Measure each case with each model, precision and force kind in a separate process; skip what is too large."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orbmm.benchmark.cases import PROFILED_STEPS, Answer, Case, Job, build_atoms
from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import state_of_weights
from orbmm.errors import SettingsError
from orbmm.model.inference.execution import Execution

WARM_UP_CALLS = 3  # an evaluation, one for the shares of the stages, and a step
KEEP_BYTES = str(2**30)
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": KEEP_BYTES, "MALLOC_TRIM_THRESHOLD_": KEEP_BYTES}
"""Environment variables that set glibc in a measuring process as orbmm.model.inference.allocator sets it. A peer
runs without them, as for its users."""


@dataclass(frozen=True)
class Plan:
    """The measurements to make, and their settings.

    weights: a file, "random", or "" for those of the catalogue; forces: kinds of OpenMM forces, () for none
    limit_s: a case that would take longer is skipped [s]
    memories: memory modes to measure, which only conservative models use; they replace that of the execution
    execution: how networks are computed
    """

    cases: tuple[Case, ...]
    models: tuple[str, ...]
    precisions: tuple[str, ...]
    forces: tuple[str, ...]
    weights: str
    device: str
    threads: int
    evaluations: int
    steps: int
    limit_s: float
    memories: tuple[str, ...] = ("auto",)
    execution: Execution = field(default_factory=Execution)

    def execute_in(self, memory: str) -> Execution:
        """Return the execution with another memory mode."""
        return dataclasses.replace(self.execution, memory=memory)


Row = dict[str, Any]


def run_plan(plan: Plan, tell: Callable[[Row], None]) -> list[Row]:
    """Return one row for each combination: the numbers of `orbmm.benchmark.measure`, or the reason for skipping it.

    tell: called with each row when it is complete
    """
    rows: list[Row] = []
    for case in plan.cases:
        with tempfile.TemporaryDirectory(prefix="orbmm-benchmark-") as name:
            folder = Path(name)
            atoms = _save_case(case, folder)
            for combination in _list_combinations(plan):
                row = {"case": case.name, **combination}
                row |= {"skipped": atoms} if isinstance(atoms, str) else {"atoms": atoms}
                if "skipped" not in row:
                    reason = _find_reason(plan, row, rows)
                    row |= {"skipped": reason} if reason else _measure(plan, row, folder)
                rows.append(row)
                tell(row)
    return rows


def _save_case(case: Case, folder: Path) -> int | str:
    """Write the atoms of a case to the folder and return their number, or return the reason if they cannot be built."""
    try:
        atoms = build_atoms(case)
    except SettingsError as error:
        return str(error)
    atoms.save(folder / "atoms.npz")
    return len(atoms.atomic_numbers)


def _list_combinations(plan: Plan) -> Iterator[Row]:
    for model in plan.models:
        for precision, memory in list_ways(plan, model):
            for force in plan.forces or ("",):
                execution = dataclasses.asdict(plan.execute_in(memory))
                yield {"model": model, "precision": precision, "force": force, **execution}


def list_ways(plan: Plan, model: str) -> Iterator[tuple[str, str]]:
    """Yield the precisions and memory modes in which a model is measured."""
    memories = plan.memories if find_record(model).kind == "conservative" else ("auto",)
    for precision in plan.precisions:
        for memory in memories:
            yield precision, memory


def _find_reason(plan: Plan, row: Row, rows: list[Row]) -> str | None:
    """Return the reason not to measure a row (no weights, or too slow judging by fewer atoms), or None."""
    if not plan.weights and state_of_weights(find_record(row["model"])) == "to download":
        return "its weights are not in the cache: fetch them, name a file with --weights, or take --random-weights"
    same = [
        done
        for done in rows
        if "evaluation_s" in done and all(done[key] == row[key] for key in ("model", "precision", "memory", "force"))
    ]
    if not same:
        return None
    largest = max(same, key=lambda done: done["atoms"])
    expected = predict_seconds(plan, largest) * row["atoms"] / largest["atoms"]
    if expected <= plan.limit_s:
        return None
    return f"would take {expected:.0f} s, as {largest['case']} tells, with a limit of {plan.limit_s:.0f} s"


def predict_seconds(plan: Plan, row: Row) -> float:
    """Return the time that measuring a row took, without the start of the process [s]."""
    steps = plan.steps + min(plan.steps, PROFILED_STEPS) if row["force"] else 0
    return row["evaluation_s"] * (2 * plan.evaluations + steps + WARM_UP_CALLS)


def _measure(plan: Plan, row: Row, folder: Path) -> Answer:
    job = Job(
        str(folder / "atoms.npz"),
        row["model"],
        plan.weights,
        row["precision"],
        plan.device,
        plan.threads,
        plan.evaluations,
        plan.steps,
        row["force"],
        plan.execute_in(row["memory"]),
    )
    return measure_apart(job, folder, plan.limit_s)


def measure_apart(job: Job, folder: Path, limit_s: float) -> Answer:
    """Return the answer of a separate process; if it fails or takes too long, the answer is a reason to skip."""
    job.write(folder / "job.json")
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    # -P: or a torch.py in the current folder would be imported and run.
    command = [sys.executable, "-P", "-m", "orbmm.benchmark.measure", str(folder / "job.json"), str(folder)]
    failure = run_apart(command, job.threads, limit_s, KEEP_FREED_MEMORY)
    return {"skipped": failure} if failure else json.loads(answer.read_text(encoding="utf-8"))


def run_apart(
    command: list[str], threads: int, limit_s: float, variables: Mapping[str, str] | None = None
) -> str | None:
    """Run a command with this many threads; return the reason for a failure in one line, or None.

    variables: additional environment variables
    """
    environment = {**os.environ, **(variables or {}), "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"took longer than {limit_s:.0f} s"
    except OSError as error:
        return f"{command[0]} does not start: {error}"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"the process ended with {done.returncode} and no word"]
    return lines[-1][:300]


def compare_forces(one: Path, other: Path) -> dict[str, float]:
    """Return the largest and RMS difference of two files of forces, and the largest force, in meV/Å."""
    mine, yours = 1000 * np.load(one), 1000 * np.load(other)
    return {
        "largest_difference_mev_per_angstrom": float(np.abs(mine - yours).max()),
        "rms_difference_mev_per_angstrom": float(np.sqrt(((mine - yours) ** 2).mean())),
        "largest_force_mev_per_angstrom": float(np.abs(yours).max()),
    }
