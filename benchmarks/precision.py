"""What each precision costs and saves: errors of forces and energy against float64, speed and memory, on one peptide box.

    python benchmarks/precision.py --to benchmarks/results/precision.json

Random weights unless --weights names a checkpoint; each precision in a process of its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from orbmm.benchmark.cases import Case, build_atoms
from orbmm.benchmark.job import Job
from orbmm.benchmark.machine import describe_machine
from orbmm.benchmark.measure import find_weights
from orbmm.benchmark.run import Row, compare_forces, measure_apart
from orbmm.settings.model import PRECISIONS

STRUCTURE = Path(__file__).parents[1] / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
MODELS = ("orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat")


def compare(model: str, arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """One row for each precision, float64 first, on the structure of the arguments."""
    atoms = build_atoms(Case("box", structure=arguments.structure))
    atoms.save(folder / "atoms.npz")
    common = (arguments.device, arguments.threads, arguments.evaluations, 0, "", "fast")
    weights = arguments.weights or find_weights(Job("", model, "random", "float64", *common), folder)
    rows: list[Row] = []
    for precision in PRECISIONS:
        job = Job(str(folder / "atoms.npz"), model, str(weights), precision, *common)
        row = {"model": model, "precision": precision, "atoms": len(atoms.atomic_numbers)}
        row |= measure_apart(job, folder, arguments.limit_s)
        if "skipped" not in row:
            if precision == "float64":
                shutil.copy(folder / "forces.npy", folder / "exact.npy")
            row |= compare_forces(folder / "forces.npy", folder / "exact.npy")
            exact = row if precision == "float64" else rows[0]
            row["energy_error_mev_per_atom"] = 1000 * abs(row["energy_ev"] - exact["energy_ev"]) / row["atoms"]
        rows.append(row)
        print(format_row(row), flush=True)
    return rows


HEADER = (
    "| model | precision | force error, largest [meV/Å] | RMS [meV/Å] | energy error [meV/atom] | evaluations/s | memory [MB] |\n"
    "|---|---|---|---|---|---|---|"
)


def format_row(row: Row) -> str:
    """One line of a Markdown table."""
    start = f"| {row['model']} | {row['precision']} |"
    if "skipped" in row:
        return f"{start} {row['skipped']} | | | | |"
    memory = row.get("device_mb", row["host_mb"])
    return (
        f"{start} {row['largest_difference_mev_per_angstrom']:.2g} | {row['rms_difference_mev_per_angstrom']:.2g} | "
        f"{row['energy_error_mev_per_atom']:.2g} | {1 / row['evaluation_s']:.3g} | {memory:.0f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="may be repeated")
    parser.add_argument("--weights", type=Path, help="an official checkpoint, of one --model")
    parser.add_argument("--structure", type=Path, default=STRUCTURE)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--evaluations", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=1800.0)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    about = {"command": " ".join(["python", *sys.argv]), "threads": arguments.threads, **describe_machine()}
    print(HEADER)
    rows = []
    for model in arguments.model or MODELS:
        with tempfile.TemporaryDirectory() as name:
            rows += compare(model, arguments, Path(name))
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        arguments.to.write_text(json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
