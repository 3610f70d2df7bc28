"""Measure what each precision costs: errors of forces and energy against float64, speed and memory, on a peptide box.

    python scripts/benchmarks/precision.py --to scripts/benchmarks/results/precision.json
    python scripts/benchmarks/precision.py --structure prepared/trp-cage/trp-cage.pdb --model orb-v3-direct-inf-omat

By default capped alanine in water, and both published kinds with random weights unless --weights names a checkpoint.
Each precision in a process of its own, conservative models in fast memory. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from results_file import describe_run, write_results

from orbmm.benchmark.cases import Atoms, Case, Job, build_atoms
from orbmm.benchmark.measure import find_weights
from orbmm.benchmark.run import Row, compare_forces, measure_apart
from orbmm.errors import SettingsError
from orbmm.model.inference.execution import Execution
from orbmm.settings.model import PRECISIONS

STRUCTURE = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
MODELS = ("orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat")
EXACT = "float64"
MEMORY = "fast"


def compare(model: str, atoms: Atoms, arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """One row for each precision, the exact one first."""
    atoms.save(folder / "atoms.npz")
    common = (arguments.device, arguments.threads, arguments.evaluations, 0, "", Execution(memory=MEMORY))
    weights = arguments.weights or find_weights(Job("", model, "random", EXACT, *common), folder)
    exact: Row = {}
    for precision in (EXACT, *(name for name in PRECISIONS if name != EXACT)):
        job = Job(str(folder / "atoms.npz"), model, str(weights), precision, *common)
        row = {"model": model, "precision": precision, "memory": MEMORY} | measure_apart(job, folder, arguments.limit_s)
        if precision == EXACT and "skipped" not in row:
            exact = row
            shutil.copy(folder / "forces.npy", folder / "exact.npy")
        if exact and "skipped" not in row:
            row |= compare_forces(folder / "forces.npy", folder / "exact.npy")
            row["energy_error_mev_per_atom"] = (
                1000 * abs(row["energy_ev"] - exact["energy_ev"]) / len(atoms.atomic_numbers)
            )
        yield row


HEADER = (
    "| model | precision | force error, largest [meV/Å] | RMS [meV/Å] | energy error [meV/atom] "
    "| evaluations/s | memory [MB] |\n"
    "|---|---|---|---|---|---|---|"
)
ERRORS = ("largest_difference_mev_per_angstrom", "rms_difference_mev_per_angstrom", "energy_error_mev_per_atom")


def format_row(row: Row) -> str:
    """One line of the table; no errors where nothing exact could be measured."""
    start = f"| {row['model']} | {row['precision']} |"
    if "skipped" in row:
        return f"{start} {row['skipped']} | | | | |"
    errors = " | ".join(f"{row[name]:.2g}" if name in row else "-" for name in ERRORS)
    return f"{start} {errors} | {1 / row['evaluation_s']:.3g} | {row.get('device_mb', row['host_mb']):.0f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="may be repeated")
    parser.add_argument("--weights", type=Path, help="an official checkpoint, of one --model")
    parser.add_argument("--structure", type=Path, default=STRUCTURE, help="a PDB or PDBx file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--evaluations", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=1800.0)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    about = describe_run(arguments.threads)
    try:
        atoms = build_atoms(Case("box", structure=arguments.structure))
    except SettingsError as error:
        parser.error(str(error))
    print(HEADER)
    rows: list[Row] = []
    for model in arguments.model or MODELS:
        with tempfile.TemporaryDirectory() as name:
            for row in compare(model, atoms, arguments, Path(name)):
                rows.append(row)
                print(format_row(row), flush=True)
    edges = {row["model"]: row["edges"] for row in rows if "edges" in row}
    box = {"structure": arguments.structure.name, "atoms": len(atoms.atomic_numbers), "edges": edges}
    told = ", ".join(f"{count:,} edges ({model})" for model, count in edges.items())
    print(f"\n{box['structure']}, {box['atoms']:,} atoms, {told}")
    write_results(arguments.to, about, {**box, "rows": rows})
