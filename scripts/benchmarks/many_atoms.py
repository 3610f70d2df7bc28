"""Time one force evaluation of a very large box of water with random weights, and measure its memory.

    python scripts/benchmarks/many_atoms.py --model orb-v3-direct-inf-omat --atoms 100000 \\
        --to scripts/benchmarks/results/many-atoms.json

The graph is searched, energy and forces are computed once, without warm-up. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from results_file import describe_run, write_results

from orbmm.benchmark.cases import Job, build_water
from orbmm.benchmark.machine import read_peak_memory_mb
from orbmm.benchmark.measure import find_weights
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.settings.model import MEMORY_MODES, PRECISIONS


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Edges, seconds of the graph and of energy and forces, peak memory [MB]."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job("", arguments.model, "random", arguments.precision, arguments.device, arguments.threads, 1, 0, "")
        weights = find_weights(job, Path(folder))
        execution = Execution(memory=arguments.memory)
        potential = load_model(arguments.model, weights, arguments.device, arguments.precision, execution)
    water = build_water(arguments.atoms // 3)
    composition = potential.compose(water.atomic_numbers)
    positions = torch.tensor(water.positions, device=potential.device)
    cell = torch.tensor(water.cell, device=potential.device)
    began = time.perf_counter()
    edges = potential.find_edges(positions, cell)
    searched = time.perf_counter()
    prediction = potential.run(potential.make_graph(composition, positions, cell, edges))
    largest = float(prediction.forces.abs().max())  # waits for the device
    return {
        "atoms": len(positions),
        "edges": len(edges),
        "graph_s": searched - began,
        "network_s": time.perf_counter() - searched,
        "largest_force_ev_per_angstrom": largest,
        **read_peak_memory_mb(potential.device),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="orb-v3-direct-inf-omat")
    parser.add_argument("--atoms", type=int, default=100_000)
    parser.add_argument("--precision", default="float32-highest", choices=PRECISIONS)
    parser.add_argument("--memory", default="lean", choices=MEMORY_MODES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    about = describe_run(arguments.threads)
    row = {"model": arguments.model, "precision": arguments.precision, "memory_mode": arguments.memory}
    row |= measure(arguments)
    print(json.dumps(row, indent=1))
    write_results(arguments.to, about, {"rows": [row]})
