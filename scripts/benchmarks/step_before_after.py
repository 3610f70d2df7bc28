"""Compare the CPU time of a step of dynamics in two source trees, by turns in one run.

    python scripts/benchmarks/step_before_after.py BEFORE AFTER --to scripts/benchmarks/results/step-before-after.json

BEFORE and AFTER are clones of orbmm. A step is an evaluation as OpenMM asks for it, with kept pairs, on one thread: of
water with the embedded conservative network, and with --structure of a file with an untrained orb-v3-direct-inf-omat.
Each turn is a process of its own; the least CPU time of each tree counts, because other programs only add to it.
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

from results_file import describe_run, write_results

EMBEDDED, FULL_SIZE = "orb-mini-conservative-inf-xtb", "orb-v3-direct-inf-omat"
STEPS = {EMBEDDED: 5, FULL_SIZE: 1}
Row = dict[str, Any]


def measure(model: str, source: str) -> Row:
    """CPU milliseconds of a step in this process, the least of several, after one with a search."""
    import numpy as np
    import torch
    from openmm import app, unit

    from orbmm.benchmark.cases import build_water
    from orbmm.checkpoints.catalog import find_record
    from orbmm.cli.host_memory import keep_freed_memory
    from orbmm.forces.description import ForceDescription
    from orbmm.forces.evaluator import Evaluator
    from orbmm.model.inference.engine import Engine
    from orbmm.model.inference.memory import MemoryUse
    from orbmm.model.load import assemble_network, load_model, make_network
    from orbmm.model.potential import Potential
    from orbmm.model.precision import find_precision

    torch.set_num_threads(1)
    keep_freed_memory()
    if source.isdigit():
        water = build_water(int(source) // 3)
        numbers, positions, box = water.atomic_numbers, water.positions / 10, water.cell / 10
    else:
        pdb = app.PDBFile(source)
        numbers = [atom.element.atomic_number for atom in pdb.topology.atoms()]
        positions = np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        box = np.array(pdb.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    if model == EMBEDDED:
        potential = load_model(model, device="cpu")
    else:
        torch.manual_seed(1)
        record, precision, cpu = find_record(model), find_precision("float32-high"), torch.device("cpu")
        network = assemble_network(record, make_network(record).state_dict())
        potential = Potential(
            record, network, "0" * 64, cpu, precision, engine=Engine(network, precision, MemoryUse(), cpu)
        )
    numbers = tuple(int(number) for number in numbers)
    evaluator = Evaluator(potential, ForceDescription(model, "0" * 64, "float32-high", "cpu", numbers, None, True))
    given, times = torch.from_numpy(positions), []
    for step in range(1 + STEPS[model]):
        began = time.process_time()
        evaluator.evaluate(given + 1e-4 * step, torch.from_numpy(box))
        times.append(1e3 * (time.process_time() - began))
    return {"model": model, "atoms": len(numbers), "step_cpu_ms": min(times[1:])}


def run_in(tree: Path, model: str, source: str) -> Row:
    """The row that a process with this source tree measures."""
    command = [sys.executable, __file__, "--measure", model, source]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print one line of a Markdown table for each system."""
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(*sys.argv[2:4])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--structure", help="a PDB file with a box for the full-size network")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    about, rows = describe_run(threads=1), []
    cases = [(EMBEDDED, "255", arguments.turns), (EMBEDDED, "3000", arguments.turns)]
    cases += [(FULL_SIZE, arguments.structure, 1)] if arguments.structure else []
    print("| model | atoms | before [CPU ms] | after [CPU ms] |\n|---|---|---|---|")
    for model, source, turns in cases:
        found: dict[str, list[Row]] = {"before": [], "after": []}
        for _ in range(turns):
            for name, tree in (("before", arguments.before), ("after", arguments.after)):
                found[name].append(run_in(tree, model, source))
        least = {name: round(min(row["step_cpu_ms"] for row in each), 1) for name, each in found.items()}
        rows.append(
            {"model": model, "atoms": found["after"][0]["atoms"], **{f"{k}_cpu_ms": v for k, v in least.items()}}
        )
        print(f"| {model} | {rows[-1]['atoms']} | {least['before']} | {least['after']} |", flush=True)
    write_results(arguments.to, about, {"rows": rows})


if __name__ == "__main__":
    main()
