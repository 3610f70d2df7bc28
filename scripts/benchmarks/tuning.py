"""Measure threads times compilation on a CPU, and what `auto` takes of them: before self-tuning, and with it.

python scripts/benchmarks/tuning.py --to scripts/benchmarks/results/tuning.json

"Before" is what the settings took when nothing was measured: all threads of torch; compiled from 5,000 steps on and up
to 3,000 atoms. All rows of a system are measured in one process, as `orbmm benchmark --tune` does.

torch keeps compiled code: set $ORBMM_CACHE to an empty folder to measure how long it takes at first. Systems that the
file holds are kept, so that --system can measure one after the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch
from results_file import describe_run, write_results

from orbmm.benchmark.cases import build_atoms, choose_cases, read_cases
from orbmm.benchmark.tune import HEADER, Subject, format_row, make_subject, read_subject
from orbmm.forces.resolve import ATOMS_WORTH_COMPILING, STEPS_WORTH_COMPILING
from orbmm.forces.tuned import ForceDoors, describe_situation
from orbmm.settings import ModelSettings, read_settings
from orbmm.tuning.candidates import Stage, list_threads
from orbmm.tuning.choose import choose, compute_cost, count_worthy_steps
from orbmm.tuning.record import Row
from orbmm.tuning.tune import Question, tune

LENGTHS = (1_000, 10_000, 1_000_000)  # steps
SYSTEM = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "system.toml"
SMALL, LARGE = "alanine-dipeptide", "water-3k"


def make(name: str, model: ModelSettings) -> Subject:
    """Alanine dipeptide in water, 256 atoms, or a case of the benchmark."""
    if name == SMALL:
        return read_subject(dataclasses.replace(read_settings(SYSTEM), model=model))
    (case,) = choose_cases(read_cases(), [name])
    return make_subject(build_atoms(case), model)


def measure(subject: Subject) -> tuple[Row, ...]:
    """The rows of all numbers of threads, plain and compiled."""
    changes = [{"threads": count, "compile": on} for on in (False, True) for count in list_threads()]
    resolved, case = subject.resolved, subject.case
    situation = describe_situation(resolved, case)
    question = Question(situation, resolved.execution, [Stage(("threads", "compile"), tuple(changes))], case)
    record = tune(question, ForceDoors(resolved, case), lambda row: print(format_row(row), flush=True))
    if record is None:
        sys.exit("one thread and no compiler: nothing to compare")
    return record.rows


def compare(rows: tuple[Row, ...], atoms: int, steps: int) -> dict[str, object]:
    """The choice for a run of this length, before and now, with the seconds of a step and its share of compilation."""
    compiled = steps >= STEPS_WORTH_COMPILING and atoms <= ATOMS_WORTH_COMPILING
    before = next(row for row in rows if row.execution.compile == compiled)  # rows begin with all threads
    now = choose(rows, steps)
    if now is None:
        sys.exit("no row passes")
    return {"steps": steps, "before": describe(before, steps), "now": describe(now, steps)}


def describe(row: Row, steps: int) -> dict[str, object]:
    """A row in numbers."""
    return {
        "threads": row.execution.threads,
        "compile": row.execution.compile,
        "step_s": compute_cost(row, steps),
        "evaluation_s": row.evaluation_s,
        "cpu_s": row.cpu_s,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=ModelSettings.name)
    parser.add_argument("--system", action="append", help=f"{SMALL}, or a case of the benchmark; may be repeated")
    parser.add_argument("--to", type=Path, help="JSON file of the results")
    arguments = parser.parse_args()
    systems = json.loads(arguments.to.read_text())["systems"] if arguments.to and arguments.to.exists() else {}
    for name in arguments.system or (SMALL, LARGE):
        about = describe_run(torch.get_num_threads())
        subject = make(name, ModelSettings(arguments.model, device="cpu"))
        atoms = len(subject.case.atomic_numbers)
        print(f"{arguments.model}, {name}, {atoms} atoms, load {about['load']}\n{HEADER}")
        rows = measure(subject)
        lengths = [compare(rows, atoms, steps) for steps in LENGTHS]
        for one in lengths:
            print(one)
        found = {"atoms": atoms, "load": about["load"], "rows": [dataclasses.asdict(row) for row in rows]}
        systems[name] = {**found, "lengths": lengths, "compilation_pays_from_steps": count_worthy_steps(rows)}
        write_results(arguments.to, about, {"model": arguments.model, "systems": systems})


if __name__ == "__main__":
    main()
