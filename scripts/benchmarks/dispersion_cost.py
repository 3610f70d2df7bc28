"""Measure the CPU time of D3(BJ) in water of 256, 2,269 and 25,000 atoms, with and without a new neighbour search.

OMP_NUM_THREADS=1 python scripts/benchmarks/dispersion_cost.py --output scripts/benchmarks/results/dispersion_cost.json
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from results_file import describe_run, write_results

from orbmm.dispersion.d3 import SKIN_ANGSTROM, Dispersion

ATOMS_PER_CUBIC_ANGSTROM = 0.1  # water at 1 g/cm3
WATER_ANGSTROM = np.array([[0.0, 0.0, 0.0], [0.9572, 0.0, 0.0], [-0.24, 0.9266, 0.0]])


def make_water(atoms: int) -> tuple[tuple[int, ...], torch.Tensor, torch.Tensor]:
    """Return about so many atoms of water on a lattice, slightly shaken: numbers, positions (N, 3) and cell [Å]."""
    molecules = max(1, round(atoms / 3))
    side = (3 * molecules / ATOMS_PER_CUBIC_ANGSTROM) ** (1.0 / 3.0)
    per_axis = int(np.ceil(molecules ** (1.0 / 3.0)))
    sites = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3), axis=-1).reshape(-1, 3)[:molecules] * side / per_axis
    positions = (sites[:, None] + WATER_ANGSTROM).reshape(-1, 3)
    positions += np.random.default_rng(0).normal(0.0, 0.05, positions.shape)
    return (8, 1, 1) * molecules, torch.tensor(positions), torch.eye(3, dtype=torch.float64) * side


def measure(atoms: int, steps: int) -> dict[str, float]:
    """Return the CPU time of an evaluation with a search, and the mean of those that keep the pairs [s]."""
    numbers, positions, cell = make_water(atoms)
    dispersion = Dispersion("d3bj-pbe", numbers, torch.device("cpu"))
    begin = time.process_time()
    dispersion.compute(positions, cell)
    searched = time.process_time() - begin
    begin = time.process_time()
    for _ in range(steps):
        positions = positions + 0.003 * torch.randn(
            positions.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        dispersion.compute(positions, cell)
    kept = (time.process_time() - begin) / steps
    if dispersion.searches != 1:
        raise SystemExit("the pairs were searched again: the second figure is not what it says")
    edges = len(dispersion._pairs.find_edges(positions, cell))
    return {
        "atoms": len(numbers),
        "pairs": edges,
        "seconds_with_search": round(searched, 3),
        "seconds_with_kept_pairs": round(kept, 3),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure each size, smallest first, because the peak of the memory is that of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--atoms", type=int, nargs="+", default=[256, 2269, 25000])
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    about = describe_run(torch.get_num_threads())
    measure(30, 1)  # compiles the kernels
    rows = [measure(atoms, arguments.steps) for atoms in sorted(arguments.atoms)]
    for row in rows:
        print(row)
    write_results(arguments.output, about, {"skin_angstrom": SKIN_ANGSTROM, "sizes": rows})


if __name__ == "__main__":
    main()
