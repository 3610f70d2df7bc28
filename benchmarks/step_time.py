"""What one force evaluation costs with and without kept memory and compiled code: one process for each, one table.

    python benchmarks/step_time.py orb-mini-conservative-inf-xtb --to benchmarks/results/step-time.json

CPU time of one thread is given beside wall time, because it does not change when other programs share the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

STRUCTURE = Path(__file__).parents[1] / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
WAYS = ("plain", "kept-memory", "kept-memory+compile")
EVALUATIONS = 30


def measure(model: str, way: str) -> dict[str, float]:
    """Milliseconds of one evaluation in this process, after a warm-up."""
    import numpy as np
    import torch
    from openmm import app, unit

    from orbmm.cli.host_memory import keep_freed_memory
    from orbmm.model.compiled import compile_network
    from orbmm.model.load import load_model

    torch.set_num_threads(1)
    if "kept-memory" in way:
        keep_freed_memory()
    pdb = app.PDBFile(str(STRUCTURE))
    potential = load_model(model, device="cpu")
    if "compile" in way:
        compile_network(potential)
    composition = potential.compose([atom.element.atomic_number for atom in pdb.topology.atoms()])
    positions = torch.tensor(np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.angstrom)))
    cell = torch.tensor(np.array(pdb.topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom)))
    began = time.perf_counter()
    for _ in range(3):
        potential.evaluate(composition, positions, cell)
    warm_up = time.perf_counter() - began
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(EVALUATIONS):
        potential.evaluate(composition, positions, cell)
    return {
        "wall_ms": 1000 * (time.perf_counter() - wall) / EVALUATIONS,
        "cpu_ms": 1000 * (time.process_time() - cpu) / EVALUATIONS,
        "warm_up_s": warm_up,
    }


def measure_apart(model: str, way: str) -> dict[str, float]:
    """The same in a process of its own with one thread."""
    command = [sys.executable, __file__, model, "--only", way]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--only", choices=WAYS, help="measure one way in this process")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.models[0], arguments.only)))
        sys.exit()
    rows = {model: {way: measure_apart(model, way) for way in WAYS} for model in arguments.models}
    for model, ways in rows.items():
        for way, row in ways.items():
            print(f"{model:32} {way:20} {row['cpu_ms']:7.1f} ms CPU {row['wall_ms']:7.1f} ms wall", flush=True)
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        machine = {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()}
        arguments.to.write_text(json.dumps({"machine": machine, "structure": STRUCTURE.name, "rows": rows}, indent=1))
