"""Collect what runs of proteins gave in one table: verdict, shape, temperature by element, metal site, confidence.

    python scripts/study/collect_proteins.py runs/chignolin runs/trp-cage --to docs/proteins/proteins.json

Each run must have been analysed (`orbmm analyze RUN --crystal FILE`). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from orbmm.analysis import read_result
from orbmm.errors import OrbmmError
from orbmm.files import read_json

SECONDS_PER_DAY = 86400.0
LARGEST_BYTES = 20_000_000
NUMBERS = {
    "rmsd": ("backbone_mean", "backbone_largest", "backbone_last"),
    "crystal_rmsd": ("backbone_mean", "backbone_largest", "backbone_last"),
    "native_contacts": ("kept_last",),
    "bonds": ("broken_ever", "broken_at_end"),
    "angles": ("lasting_change",),
    "temperature": ("mean", "mean_error"),
    "hydrogen_bonds": ("solute_solute_mean", "solute_water_mean", "per_water"),
    "confidence": ("solute_mean", "water_mean", "doubtful_share"),
    "metal_site": ("coordination_mean", "exchange_events"),
    "density": ("density_mean",),
}
"""What is kept of each observable; of the temperature also each element, of a metal site also each distance."""


def collect(folder: Path) -> dict[str, Any]:
    """Return the settings, the verdict and the chosen numbers of one run."""
    analysis = read_json(folder / "analysis" / "results.json", LARGEST_BYTES)
    run = analysis["run"]
    settings = run["settings"]
    return {
        "name": settings["system"]["name"],
        "model": run["model"],
        "weights_sha256": run["weights_sha256"],
        "atoms": run["atoms"],
        "measured_ps": float(read_result(folder / "analysis" / "rmsd.npz").values["time"][-1]),
        "seconds_a_step": measure_step(folder, settings["run"]["timestep_fs"]),
        "run": {key: settings["run"].get(key) for key in ("timestep_fs", "hydrogen_mass_amu", "length_ps", "seed")},
        "verdict": analysis["verdict"],
        "checks": {check["name"]: check["outcome"] for check in analysis["checks"]},
        "numbers": {name: pick(name, found["numbers"]) for name, found in analysis["results"].items()},
    }


def measure_step(folder: Path, timestep_fs: float) -> float:
    """Return the wall-clock time of a step [s], by the median speed of the rows of energies.csv."""
    speeds = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)["speed_ns_per_day"]  # 0 at the start
    return round(SECONDS_PER_DAY * timestep_fs * 1e-6 / float(np.median(speeds[speeds > 0])), 3)


def pick(observable: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """Return the chosen numbers of an observable, rounded to what a table shows."""
    wanted = set(NUMBERS.get(observable, ()))
    if wanted - set(numbers):
        raise KeyError(f"{observable} has no {', '.join(sorted(wanted - set(numbers)))}")
    if observable == "temperature":
        wanted |= {name for name in numbers if name.split("_")[0].istitle() and "_mean" in name}
    if observable == "metal_site":
        wanted |= {name for name in numbers if name.startswith("distance_")}
    return {
        name: round(number["value"], 4) if isinstance(number["value"], float) else number["value"]
        for name, number in numbers.items()
        if name in wanted
    }


def format_mean(mean: float | None, error: float | None) -> str:
    """Return a mean with its error; a run too short for an error has none."""
    if mean is None:
        return ""
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    numbers = row["numbers"]
    shape, crystal = numbers.get("rmsd", {}), numbers.get("crystal_rmsd", {})
    heat = numbers.get("temperature", {})
    cells = (
        row["name"],
        row["atoms"],
        f"{row['measured_ps']:g}",
        shape.get("backbone_last", ""),
        crystal.get("backbone_last", ""),
        format_mean(heat.get("mean"), heat.get("mean_error")),
        row["seconds_a_step"],
        row["verdict"],
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    try:
        rows = [collect(folder) for folder in arguments.runs]
    except (OrbmmError, OSError, KeyError) as error:
        sys.exit(f"{error}: analyse the run with `orbmm analyze` first")
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        arguments.to.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("| protein | atoms | ps | backbone RMSD [Å] | to the crystal [Å] | temperature [K] | step [s] | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(format_row(row))
