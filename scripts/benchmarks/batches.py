"""Compare small systems in one evaluation with one after another, and with a process for each, by CPU time.

OMP_NUM_THREADS=1 python scripts/benchmarks/batches.py --output scripts/benchmarks/results/batches.json

Alanine dipeptide (22 atoms) is a molecule, the others are cubes of water. Each count of systems is measured in turn in
both ways, in one process that keeps the model; the median of the rounds is kept. A process for each system costs its
start beside the evaluations: its CPU time until the first prediction is measured once a model.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app, unit
from results_file import describe_run, write_results

import orbmm
from orbmm.benchmark.cases import build_water
from orbmm.model.potential import NumpyPrediction, Potential

MODELS = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
DIPEPTIDE = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
WATERS = {99: 33, 255: 85, 999: 333}  # atoms: molecules
COUNTS = {22: (2, 8, 32), 99: (2, 8, 32), 255: (2, 8), 999: (2, 4)}
SHAKE_ANGSTROM = 0.02  # so that no two systems are the same
ALONE = "import orbmm; orbmm.load_model({name!r}, device='cpu').predict([8, 1, 1], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])"


def build_system(atoms: int) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return atomic numbers, positions (N, 3) [Å] and cell (3, 3) [Å] of the system with this many atoms."""
    if atoms in WATERS:
        water = build_water(WATERS[atoms])
        return water.atomic_numbers, water.positions, water.cell
    pdb = app.PDBFile(str(DIPEPTIDE))
    peptide = [atom for atom in pdb.topology.atoms() if atom.residue.name != "HOH"]
    positions = np.array(pdb.positions.value_in_unit(unit.angstrom))[[atom.index for atom in peptide]]
    return np.array([atom.element.atomic_number for atom in peptide]), positions, None


def make_copies(atoms: int, count: int) -> list[tuple[Any, np.ndarray, np.ndarray | None]]:
    """Return so many systems, each shaken differently."""
    numbers, positions, cell = build_system(atoms)
    rng = np.random.default_rng(0)
    return [(numbers, positions + SHAKE_ANGSTROM * rng.normal(size=positions.shape), cell) for _ in range(count)]


def time_cpu(work: Callable[[], list[NumpyPrediction]]) -> tuple[float, list[NumpyPrediction]]:
    """Return the CPU time of this process [s] for some work, and its result."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def compare(model: Potential, atoms: int, count: int, rounds: int) -> dict[str, Any]:
    """Return CPU seconds a system in both ways, what the batch saves, and the largest difference of the forces."""
    systems = make_copies(atoms, count)
    edges = sum(_count_edges(model, system) for system in systems)
    ways: dict[str, Callable[[], list[NumpyPrediction]]] = {
        "alone": lambda: [model.predict(*system) for system in systems],
        "together": lambda: model.predict_many(systems, most_edges=max(1, edges)),
        "default": lambda: model.predict_many(systems),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[NumpyPrediction]] = {}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            spent, found[name] = time_cpu(work)
            if turn:  # the first is for warm-up
                seconds[name].append(spent / count)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "atoms": len(systems[0][0]),
        "systems": count,
        "edges": edges,
        **{f"cpu_s_{name}": round(value, 5) for name, value in median.items()},
        "speedup_together": round(median["alone"] / median["together"], 3),
        "speedup_default": round(median["alone"] / median["default"], 3),
        "spread": {name: [round(min(values), 5), round(max(values), 5)] for name, values in seconds.items()},
        "largest_force_difference_mev_angstrom": find_difference(found["alone"], found["together"]),
    }


def _count_edges(model: Potential, system: tuple[Any, np.ndarray, np.ndarray | None]) -> int:
    import torch

    _, positions, cell = system
    return len(model.find_edges(torch.from_numpy(positions), None if cell is None else torch.from_numpy(cell)))


def find_difference(one: list[NumpyPrediction], other: list[NumpyPrediction]) -> float:
    """Return the largest difference of a force component [meV/Å]."""
    return max(float(1000 * np.abs(a.forces - b.forces).max()) for a, b in zip(one, other, strict=True))


def measure_start(name: str) -> dict[str, float]:
    """Return CPU time [s] and memory [MiB] of a process that loads a model and predicts three atoms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", ALONE.format(name=name)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu, 2), "memory_mib": round(after.ru_maxrss / 1024)}


def main() -> None:
    """Measure and write JSON after each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is kept (default 5)")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    about = describe_run(threads=1)
    starts: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for name in MODELS:
        starts[name] = measure_start(name)
        model = orbmm.load_model(name, device="cpu")
        for atoms, counts in COUNTS.items():
            for count in counts:
                rows.append({"model": name, **compare(model, atoms, count, arguments.rounds)})
                print(rows[-1], flush=True)
                write_results(arguments.output, about, {"process_start": starts, "rows": rows, "gpu": "not measured"})


if __name__ == "__main__":
    main()
