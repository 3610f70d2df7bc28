"""What finding all edges costs by search method and number of atoms: the numbers behind `auto`.

    python benchmarks/searches.py --to benchmarks/results/searches.json

Boxes of water at its density, 6 Å, at most 120 neighbours, the whole of find_edges, one thread. On a CPU the median of
CPU time, which hardly feels other programs; on a GPU the median of wall time, waited for.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from orbmm.benchmark.cases import build_water
from orbmm.errors import OrbmmError
from orbmm.graph.edges import find_edges
from orbmm.graph.search.choose import METHODS

ATOMS = (30, 60, 120, 250, 500, 1_000, 2_250, 10_000, 20_000)
LONGEST_MS = 5_000.0  # a method that took longer is not tried on more atoms
CUTOFF_ANGSTROM, MAX_NEIGHBORS = 6.0, 120


def measure(method: str, positions: torch.Tensor, cell: torch.Tensor, repeats: int) -> float:
    """Median milliseconds of find_edges, after one call for warm-up."""
    on_cpu = positions.device.type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    taken = []
    for _ in range(repeats + 1):
        began = clock()
        find_edges(positions, cell, CUTOFF_ANGSTROM, MAX_NEIGHBORS, method)
        if not on_cpu:
            torch.cuda.synchronize()
        taken.append(1000 * (clock() - began))
    return statistics.median(taken[1:])


def measure_all(device: str, sizes: list[int], repeats: int) -> dict[str, dict[int, float]]:
    """Milliseconds by method and number of atoms; a method that refuses is left out."""
    rows: dict[str, dict[int, float]] = {method: {} for method in METHODS}
    for size in sizes:
        water = build_water(size // 3)
        positions = torch.tensor(water.positions, device=device)
        cell = torch.tensor(water.cell, device=device)
        for method, row in rows.items():
            if row and max(row.values()) > LONGEST_MS:
                continue
            try:
                row[len(positions)] = measure(method, positions, cell, repeats)
            except OrbmmError as error:
                print(f"{method:12} {len(positions):6} atoms  refused: {error}", flush=True)
                continue
            print(f"{method:12} {len(positions):6} atoms  {row[len(positions)]:9.2f} ms", flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--atoms", type=int, nargs="+", default=list(ATOMS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure_all(arguments.device, arguments.atoms, arguments.repeats)
    if arguments.to:
        on_gpu = arguments.device != "cpu"
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, one thread",
            "milliseconds": rows,
        }
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        arguments.to.write_text(json.dumps(about, indent=1) + "\n")
