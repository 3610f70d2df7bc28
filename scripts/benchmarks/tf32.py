"""Measure without a GPU what float32-high costs on one, where it is TF32: operands of products are cut to 10 bits.

    python scripts/benchmarks/tf32.py --to scripts/benchmarks/results/tf32.json

Frames of water that differ by a step of dynamics; errors are against float64. The energy may be wrong by a constant,
which no simulation notices; its spread from frame to frame is what counts. "with the head in TF32" is what the energy
would do if its head were not computed in float64. Cutting towards zero is how a GPU reads the operands.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orbmm.benchmark.cases import build_water
from orbmm.first_contact.emulation import TensorFloat32
from orbmm.model.load import load_model
from orbmm.model.network.heads import HeadPerceptron
from orbmm.model.network.perceptron import Perceptron

MODELS = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
STEP_ANGSTROM = 0.003  # about what an atom moves in 0.5 fs at 300 K


@contextmanager
def heads_in_tf32() -> Iterator[None]:
    """Compute all heads in the type of their weights inside a `with` block, as the body of the network is."""
    exact = HeadPerceptron.forward
    HeadPerceptron.forward = lambda head, values: Perceptron.forward(head, values.to(head.first.weight.dtype))
    try:
        yield
    finally:
        HeadPerceptron.forward = exact


def predict_frames(model: str, precision: str, waters: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies (F,) [eV] and forces (F, N, 3) [eV/Å] of the same frames for every precision."""
    water, random = build_water(waters), np.random.default_rng(1)
    potential = load_model(model, device="cpu", precision=precision)
    energies, forces = [], []
    for _ in range(frames):
        moved = water.positions + random.normal(scale=STEP_ANGSTROM, size=water.positions.shape)
        prediction = potential.predict(water.atomic_numbers, moved, water.cell)
        energies.append(prediction.energy)
        forces.append(prediction.forces)
    return np.array(energies), np.array(forces)


def measure(model: str, waters: int, frames: int) -> dict[str, Any]:
    """One row: errors of TF32, with exact heads and with heads in TF32."""
    exact = predict_frames(model, "float64", waters, frames)
    with TensorFloat32():
        rounded = predict_frames(model, "float32-high", waters, frames)
        with heads_in_tf32():
            careless = predict_frames(model, "float32-high", waters, frames)
    atoms = exact[1].shape[1]
    error = 1000 * (rounded[1] - exact[1])
    return {
        "model": model,
        "atoms": atoms,
        "energy_spread_mev_per_atom": 1000 * np.std(rounded[0] - exact[0]) / atoms,
        "energy_spread_heads_in_tf32_mev_per_atom": 1000 * np.std(careless[0] - exact[0]) / atoms,
        "largest_force_error_mev_per_angstrom": float(np.abs(error).max()),
        "rms_force_error_mev_per_angstrom": float(np.sqrt((error**2).mean())),
    }


HEADER = (
    "| model | atoms | energy, frame to frame [meV/atom] | with the head in TF32 | force error, largest [meV/Å] "
    "| RMS |\n"
    "|---|---|---|---|---|---|"
)

if __name__ == "__main__":
    from results_file import describe_run, write_results

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waters", type=int, action="append", help="may be repeated; by default 60 and 333")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    about = describe_run(arguments.threads)
    print(HEADER)
    rows = []
    for model in MODELS:
        for waters in arguments.waters or (60, 333):
            row = measure(model, waters, arguments.frames)
            rows.append(row)
            print(
                "|",
                " | ".join(f"{value:.2g}" if isinstance(value, float) else str(value) for value in row.values()),
                "|",
            )
    write_results(arguments.to, about, {"rows": rows})
