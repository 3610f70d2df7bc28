"""Measure a force evaluation with and without kept memory and compiled code, each in a separate process.

    python scripts/benchmarks/step_time.py orb-mini-conservative-inf-xtb --to scripts/benchmarks/results/step-time.json

The system is capped alanine in water. CPU time of one thread is given with wall time, because it does not change when
other programs share the cores. What this machine cannot do (for example, without a compiler) is skipped with the
reason. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openmm import app, unit
from results_file import describe_run, write_results

from orbmm.errors import OrbmmError
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.model.potential import Potential

STRUCTURE = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
WAYS = ("plain", "kept-memory", "kept-memory+compile")
WARM_UP_CALLS = 3

Row = dict[str, Any]


def load_potential(model: str, way: str) -> Potential:
    """The model as this way carries it out, and this process made to keep freed memory where it says so."""
    if "kept-memory" in way:
        keep_freed_memory()
    return load_model(model, device="cpu", execution=Execution(compile="compile" in way))


def measure(model: str, way: str, evaluations: int) -> Row:
    """Mean milliseconds of an evaluation in this process, after a warm-up, and what carried it out."""
    torch.set_num_threads(1)
    try:
        potential = load_potential(model, way)
    except OrbmmError as error:
        return {"skipped": str(error)}
    pdb = app.PDBFile(str(STRUCTURE))
    composition = potential.compose([atom.element.atomic_number for atom in pdb.topology.atoms()])
    positions = torch.tensor(np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.angstrom)))
    cell = torch.tensor(np.array(pdb.topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom)))
    began = time.perf_counter()
    for _ in range(WARM_UP_CALLS):
        prediction = potential.evaluate(composition, positions, cell)
    warm_up = time.perf_counter() - began
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(evaluations):
        potential.evaluate(composition, positions, cell)
    return {
        "carried_out_by": "compiled network" if potential.engine is None else type(potential.engine).__name__,
        "atoms": len(positions),
        "energy_ev": float(prediction.energy),
        "wall_ms": 1000 * (time.perf_counter() - wall) / evaluations,
        "cpu_ms": 1000 * (time.process_time() - cpu) / evaluations,
        "warm_up_s": warm_up,
    }


def measure_apart(model: str, way: str, evaluations: int) -> Row:
    """The same in a process of its own with one thread."""
    command = [sys.executable, __file__, model, "--only", way, "--evaluations", str(evaluations)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return {"model": model, "way": way, **json.loads(done.stdout.splitlines()[-1])}


def format_row(row: Row) -> str:
    """One line of the table."""
    start = f"| {row['model']} | {row['way']} |"
    if "skipped" in row:
        return f"{start} {row['skipped']} | | |"
    return f"{start} {row['cpu_ms']:.1f} | {row['wall_ms']:.1f} | {row['warm_up_s']:.1f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--only", choices=WAYS, help="measure one way in this process")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.models[0], arguments.only, arguments.evaluations)))
        sys.exit()
    about = describe_run(threads=1)
    print("| model | way | CPU [ms] | wall [ms] | warm-up [s] |\n|---|---|---|---|---|")
    rows = []
    for model in arguments.models:
        for way in WAYS:
            rows.append(measure_apart(model, way, arguments.evaluations))
            print(format_row(rows[-1]), flush=True)
    write_results(
        arguments.to, about, {"structure": STRUCTURE.name, "evaluations": arguments.evaluations, "rows": rows}
    )
