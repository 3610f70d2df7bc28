"""Measure without a GPU what edges and messages in half precision cost in accuracy, beside half-precision products.

    python scripts/benchmarks/half_edges.py --to scripts/benchmarks/results/half-edges.json

Forces in water against float64: a published network with random weights, embedded ones with their own. In separate
steps a CPU rounds the operands of products, a GPU also what it stores of hidden values (imitated). "fused" is the plain
twin of kernels = "fused", which also rounds edges and messages.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import describe_run, write_results

from orbmm.benchmark.cases import Atoms, Job, build_water
from orbmm.benchmark.measure import find_weights
from orbmm.checkpoints.catalog import find_record
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.kernels.edge_update.plain import PlainEdgeKernels
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.load import load_model
from orbmm.model.potential import NumpyPrediction
from orbmm.model.precision import Precision

WATERS = {
    "orb-mini-direct-inf-xtb": 85,
    "orb-mini-conservative-inf-xtb": 85,
    "orb-v3-direct-inf-omat": 40,
}
PRECISIONS = ("float16", "bfloat16")
SEPARATE, FUSED = PlainKernels(), PlainKernels(PlainEdgeKernels())
# Each way with its kernels, and whether hidden values are stored as on a GPU.
WAYS = {
    "separate, on a CPU": (SEPARATE, False),
    "separate, on a GPU": (SEPARATE, True),
    "fused": (FUSED, True),
}


@contextmanager
def store_operands(as_on_a_gpu: bool) -> Iterator[None]:
    """Store operands in their own type on a CPU too, inside a `with` block."""
    before = Precision.stored_operands
    if as_on_a_gpu:
        Precision.stored_operands = lambda self, device: self.operands or self.dtype
    try:
        yield
    finally:
        Precision.stored_operands = before


def predict(model: str, weights: Path | None, precision: str, kernels: PlainKernels, water: Atoms) -> NumpyPrediction:
    """Energy [eV] and forces [eV/Å] of the water."""
    potential = load_model(model, weights, "cpu", precision)
    engine = Engine(potential.network, potential.precision, MemoryUse(), potential.device, kernels)
    potential = replace(potential, engine=engine)
    return potential.predict(water.atomic_numbers, water.positions, water.cell)


def measure(model: str, waters: int) -> Iterator[dict[str, Any]]:
    """One row for each precision and way."""
    water = build_water(waters)
    with tempfile.TemporaryDirectory() as folder:
        job = Job("", model, "random", "float64", "cpu", torch.get_num_threads(), 1, 0, "", Execution())
        weights = None if find_record(model).file else find_weights(job, Path(folder))
        exact = predict(model, weights, "float64", SEPARATE, water)
        for precision in PRECISIONS:
            for way, (kernels, as_on_a_gpu) in WAYS.items():
                with store_operands(as_on_a_gpu):
                    rounded = predict(model, weights, precision, kernels, water)
                yield {"model": model, "atoms": len(water.positions), "precision": precision, "edge_update": way} | (
                    compare(rounded, exact)
                )


def compare(rounded: NumpyPrediction, exact: NumpyPrediction) -> dict[str, float]:
    """The errors, in meV, and the size of the forces."""
    error = 1000 * (rounded.forces - exact.forces)
    return {
        "largest_force_error_mev_per_angstrom": float(np.abs(error).max()),
        "rms_force_error_mev_per_angstrom": float(np.sqrt((error**2).mean())),
        "energy_error_mev_per_atom": 1000 * abs(rounded.energy - exact.energy) / len(error),
        "rms_force_mev_per_angstrom": float(1000 * np.sqrt((exact.forces**2).mean())),
    }


HEADER = (
    "| model | atoms | precision | edge update | force error, largest [meV/Å] | RMS [meV/Å] | energy error [meV/atom] "
    "| forces, RMS [meV/Å] |\n|---|---|---|---|---|---|---|---|"
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=WATERS, help="may be repeated; by default all three")
    parser.add_argument("--waters", type=int, help="molecules; by default 85 for embedded models, 40 for the other")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    about = describe_run(arguments.threads)
    print(HEADER)
    rows = []
    for model in arguments.model or WATERS:
        for row in measure(model, arguments.waters or WATERS[model]):
            rows.append(row)
            cells = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values())
            print(f"| {' | '.join(cells)} |", flush=True)
    write_results(arguments.to, about, {"rows": rows})
