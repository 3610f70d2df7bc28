"""Measure what each precision costs in accuracy where a GPU rounds, and how long a first contact takes on the CPU.

    python scripts/benchmarks/first_contact.py --to scripts/benchmarks/results/first-contact.json

The limits of a first contact are 4 times these errors, computed anew for the user's own elements and weights. TF32 is
emulated: the operands of every product keep 10 bits. Networks with random weights show the cost of the full size only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import describe_run, write_results
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import find_record
from orbmm.first_contact.case import build_case
from orbmm.first_contact.compare import evaluate, measure_errors
from orbmm.first_contact.emulation import TensorFloat32
from orbmm.model.load import load_model, make_network
from orbmm.model.potential import Potential
from orbmm.settings.model import PRECISIONS

EMBEDDED = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
FULL_SIZE = ("orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat")
PEPTIDE_IN_WATER = (8, 1, 1) * 78 + (6, 7, 6, 8, 6) + (1,) * 12

HEADER = (
    "| model | precision | forces, largest [meV/Å] | energy [meV/atom] | confidence | CPU s |\n"
    "|---|---|---|---|---|---|"
)

Load = Callable[[str], Potential]


def open_model(name: str, folder: Path) -> Load:
    """Return a function that loads a model on the CPU in a precision; a published one gets random weights."""
    if name in EMBEDDED:
        return lambda precision: load_model(name, device="cpu", precision=precision)
    torch.manual_seed(1)
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in make_network(find_record(name)).state_dict().items()}, path)
    return lambda precision: load_model(name, path, "cpu", precision)


def measure(name: str, load: Load) -> list[dict[str, Any]]:
    """Return one row for each precision: errors against float64, and the CPU seconds of all evaluations."""
    case = build_case(PEPTIDE_IN_WATER, periodic=True)
    began = time.process_time()
    truth = evaluate(replace(load("float64"), engine=None), case)
    exact_s = time.process_time() - began
    rows = []
    for precision in PRECISIONS:
        began = time.process_time()
        with TensorFloat32() if precision == "float32-high" else nullcontext():
            rounded = evaluate(load(precision), case)
        rows.append(
            {
                "model": name,
                "precision": precision,
                "atoms": len(case.atomic_numbers),
                "forces_rms_mev_per_angstrom": 1000.0 * float(np.sqrt(np.mean(truth.forces**2))),
                **asdict(measure_errors(rounded, truth)),
                "float64_cpu_s": exact_s,
                "emulated_cpu_s": time.process_time() - began,
            }
        )
    return rows


def main(arguments: argparse.Namespace) -> None:
    """Measure all models, print a table, and write the results."""
    torch.set_num_threads(1)
    about = describe_run(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            rows += measure(name, open_model(name, Path(folder)))
    print(HEADER)
    for row in rows:
        figures = (row["forces_mev_per_angstrom"], row["energy_mev_per_atom"], row["confidence"])
        shown = " | ".join(f"{figure:.2g}" for figure in figures)
        print(f"| {row['model']} | {row['precision']} | {shown} | {row['float64_cpu_s'] + row['emulated_cpu_s']:.1f} |")
    write_results(arguments.to, about, {"rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*EMBEDDED, *FULL_SIZE])
    parser.add_argument("--to", type=Path)
    main(parser.parse_args())
