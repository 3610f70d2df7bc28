"""What finding all edges costs by search method and number of atoms: the numbers behind `auto`.

    python scripts/benchmarks/searches.py --to scripts/benchmarks/results/searches.json

Boxes of water at its density, 6 Å, at most 120 neighbours, the whole of find_edges, one thread. On a CPU the median of
CPU time, which hardly feels other programs; on a GPU the median of wall time, waited for. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from results_file import describe_run, write_results

from orbmm.benchmark.cases import build_water
from orbmm.errors import OrbmmError
from orbmm.graph.edges import find_edges
from orbmm.graph.search.choose import METHODS

ATOMS = (30, 60, 120, 250, 500, 1_000, 2_250, 10_000, 20_000)
LONGEST_MS = 5_000.0  # a method that took longer is not tried on more atoms
CUTOFF_ANGSTROM, MAX_NEIGHBORS = 6.0, 120

Row = dict[str, Any]


def measure(method: str, positions: torch.Tensor, cell: torch.Tensor, repeats: int) -> Row:
    """Edges found, and median milliseconds of find_edges after one call for warm-up."""
    on_cpu = positions.device.type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    taken = []
    for _ in range(repeats + 1):
        began = clock()
        edges = find_edges(positions, cell, CUTOFF_ANGSTROM, MAX_NEIGHBORS, method)
        if not on_cpu:
            torch.cuda.synchronize()
        taken.append(1000 * (clock() - began))
    return {"edges": len(edges), "graph_ms": statistics.median(taken[1:])}


def measure_all(device: str, sizes: list[int], repeats: int) -> Iterator[Row]:
    """A row for each number of atoms and method, with its milliseconds or the reason why it was skipped."""
    too_slow: dict[str, str] = {}
    for size in sizes:
        water = build_water(size // 3)
        positions = torch.tensor(water.positions, device=device)
        cell = torch.tensor(water.cell, device=device)
        for method in METHODS:
            row: Row = {"method": method, "atoms": len(positions)}
            if method in too_slow:
                yield row | {"skipped": too_slow[method]}
                continue
            try:
                row |= measure(method, positions, cell, repeats)
            except OrbmmError as error:
                yield row | {"skipped": str(error)}
                continue
            if row["graph_ms"] > LONGEST_MS:
                too_slow[method] = f"took {row['graph_ms'] / 1000:.1f} s for {row['atoms']} atoms"
            yield row


def format_rows(rows: list[Row]) -> str:
    """A line of the table: one number of atoms, a column [ms] for each method; "-" where it was skipped."""
    times = {row["method"]: row.get("graph_ms") for row in rows}
    told = ("-" if times[method] is None else format_time(times[method]) for method in METHODS)
    return f"| {rows[0]['atoms']:,} | " + " | ".join(told) + " |"


def format_time(milliseconds: float) -> str:
    """Two digits, three above 100."""
    digits = 3 if milliseconds >= 100 else 2
    return f"{float(f'{milliseconds:.{digits}g}'):,.{1 if milliseconds < 10 else 0}f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--atoms", type=int, nargs="+", default=list(ATOMS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = describe_run(threads=1)
    print(f"| atoms | {' | '.join(method.replace('_', ' ') for method in METHODS)} |\n|{'---|' * (1 + len(METHODS))}")
    rows: list[Row] = []
    for row in measure_all(arguments.device, arguments.atoms, arguments.repeats):
        rows.append(row)
        if row["method"] == METHODS[-1]:
            print(format_rows(rows[-len(METHODS) :]), flush=True)
    for method, reason in {row["method"]: row["skipped"] for row in rows if "skipped" in row}.items():
        print(f"{method}: {reason}")
    limits = {"cutoff_angstrom": CUTOFF_ANGSTROM, "max_neighbors": MAX_NEIGHBORS, "repeats": arguments.repeats}
    write_results(arguments.to, about, {"device": arguments.device, **limits, "rows": rows})
