"""Time the kernels: each step of a layer in PyTorch, in compiled PyTorch, and in Triton, on one block of edges.

    python scripts/benchmarks/kernels.py --device cuda --to scripts/benchmarks/results/kernels.json

The system is water, the widths are those of the published networks. On a CPU Triton is left out. Prints a Markdown
table; a step takes at least the bytes that it moves over the bandwidth of the memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from results_file import describe_run, write_results
from torch import Tensor

from orbmm.benchmark.cases import build_water
from orbmm.benchmark.measure import Stopwatch
from orbmm.graph.edges import find_edges
from orbmm.model.compile_cache import PRIVATE_OPTIONS, use_private_cache
from orbmm.model.inference.edge_blocks import EdgeBlock, cut_into_blocks
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.workspace import Workspace
from orbmm.model.precision import find_precision

CUTOFF_ANGSTROM, MOST_NEIGHBORS = 6.0, 120
HIDDEN, FEATURES = 1024, 256
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

Step = Callable[[Kernels], object]


def make_block(waters: int, edges: int, device: torch.device) -> tuple[EdgeBlock, int]:
    """The first edges of a box of water, and its number of atoms."""
    water = build_water(waters)
    positions, cell = (torch.tensor(array, device=device) for array in (water.positions, water.cell))
    found = find_edges(positions, cell, CUTOFF_ANGSTROM, MOST_NEIGHBORS)
    return cut_into_blocks(found.senders[:edges], found.receivers[:edges], len(positions), edges)[0], len(positions)


def make_steps(block: EdgeBlock, atoms: int, dtype: torch.dtype, device: torch.device) -> dict[str, tuple[Step, int]]:
    """The steps by name, each with the bytes that it must at least read and write."""

    def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    edges, space = len(block), Workspace(device)
    first, parts = (
        draw(edges, HIDDEN, dtype=dtype),
        (draw(atoms, HIDDEN, dtype=dtype), draw(atoms, HIDDEN, dtype=dtype)),
    )
    features, gradient, scale = draw(edges, FEATURES), draw(edges, FEATURES), draw(FEATURES)
    totals, nodes, gates = draw(atoms, FEATURES), (draw(atoms, FEATURES), draw(atoms, FEATURES)), draw(edges, 2)
    wide, narrow = first.nbytes, features.nbytes
    return {
        "gather + add + SiLU": (lambda kernels: kernels.gather_add_silu(first, parts, block, space, first), 4 * wide),
        "gate + segment sum": (
            lambda kernels: kernels.add_sums(totals, features, block.by_receiver, gates[:, 0]),
            narrow,
        ),
        "its backward pass": (
            lambda kernels: kernels.backward_sums(nodes, features, gates, block, gradient),
            5 * narrow,
        ),
        "RMSNorm": (lambda kernels: kernels.normalize(features, scale), 2 * narrow),
        "its backward pass (RMSNorm)": (lambda kernels: kernels.backward_norm(gradient, features, scale), 3 * narrow),
    }


def measure(name: str, step: Step, least_bytes: int, device: torch.device, calls: int) -> dict[str, object]:
    """Median seconds of a step in each kind of kernels, each after a warm-up."""
    plain = choose_kernels("torch", device, find_precision("float32-high"))
    use_private_cache()
    ways: dict[str, Callable[[], object]] = {
        "torch": lambda: step(plain),
        "compiled": torch.compile(lambda: step(plain), options=PRIVATE_OPTIONS),
    }
    if device.type == "cuda":
        fused = choose_kernels("triton", device, find_precision("float32-high"))
        ways["triton"] = lambda: step(fused)
    row: dict[str, object] = {"step": name, "least_bytes": least_bytes}
    for way, work in ways.items():
        work()
        row[f"{way}_s"] = Stopwatch(device, calls).take(work)[0]
    return row


def format_row(row: dict[str, object], dtype: str) -> str:
    """One line of the table, times in microseconds."""
    times = (row.get(f"{way}_s") for way in ("torch", "compiled", "triton"))
    told = " | ".join("-" if time is None else f"{1e6 * time:.0f}" for time in times)
    return f"| {row['step']} | {dtype} | {told} | {row['least_bytes'] / 1e6:.0f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--waters", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=65_536, help="of the block")
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    about = describe_run(torch.get_num_threads())
    block, atoms = make_block(arguments.waters, arguments.edges, device)
    print("| step | operands | torch [µs] | compiled [µs] | Triton [µs] | least [MB] |\n|---|---|---|---|---|---|")
    rows = []
    for dtype_name, dtype in DTYPES.items():
        for name, (step, least_bytes) in make_steps(block, atoms, dtype, device).items():
            row = measure(name, step, least_bytes, device, arguments.calls)
            rows.append({"operands": dtype_name, "edges": len(block), **row})
            print(format_row(row, dtype_name), flush=True)
    write_results(arguments.to, about, {"device": arguments.device, "rows": rows})
