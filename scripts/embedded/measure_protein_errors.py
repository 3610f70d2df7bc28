"""Force errors of the networks of proteins by residue, ion and metal site: a table, JSON and a figure.

    python scripts/embedded/measure_protein_errors.py --frames training-data/held-residues-labelled.npz \\
        training-data/held-complexes-labelled.npz --to docs/embedded

No frame of these files was trained on. Frames are grouped by the name of their trajectory without its numbers.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from orbmm.model.load import load_model
from orbmm.report.style import LINES
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import Frame, read_frames
from orbmm.training.validation.errors import compare_frame

MODELS = ("orb-mini-conservative-inf-proteins", "orb-mini-direct-inf-proteins")
AIMS = {"water": 60.0, "residues": 100.0, "zinc": 150.0}
"""The largest mean force error that was aimed at [meV/Å]."""


def name_group(group: str) -> str:
    """Return the kind of a frame: zn-cys4-500-11 is zn-cys4, held-lys is lys."""
    return re.sub(r"(-\d+)+$", "", group).removeprefix("held-")


def find_aim(group: str) -> float:
    """Return the largest mean force error that was aimed at for a kind of frame [meV/Å]."""
    return AIMS["zinc"] if group.startswith("zn") else AIMS["water"] if group == "water" else AIMS["residues"]


def measure(model: str, frames: list[Frame]) -> dict[str, dict[str, float]]:
    """Return of each kind of frame its number, and the mean force [meV/Å] and energy errors [meV/atom]."""
    potential = load_model(model, device="cpu", precision="float32-highest")
    forces, energies = defaultdict(list), defaultdict(list)
    for frame in frames:
        found = compare_frame(potential.network, prepare_frame(frame, potential.record))
        for group in (name_group(frame.group), "all"):
            forces[group].append(found.forces.abs().mean(dim=-1).numpy())
            energies[group].append(abs(float(found.energy)))
    return {
        group: {
            "frames": len(errors),
            "forces_mev_per_angstrom": 1000 * float(np.concatenate(errors).mean()),
            "energy_mev_per_atom": 1000 * float(np.mean(energies[group])),
        }
        for group, errors in sorted(forces.items(), key=lambda entry: (entry[0] == "all", "-" in entry[0], entry[0]))
    }


def write_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the force errors as a Markdown table, a row for each kind of frame."""
    first = next(iter(found.values()))
    lines = ["| frames | number | " + " | ".join(found) + " | aim |", "|---|---|" + "---|" * (len(found) + 1)]
    for group in first:
        cells = [f"{found[model][group]['forces_mev_per_angstrom']:.0f}" for model in found]
        aim = "" if group == "all" else f"{find_aim(group):.0f}"
        lines.append(f"| {group} | {first[group]['frames']} | {' | '.join(cells)} | {aim} |")
    return "\n".join(lines)


def draw(found: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Draw the force error of each kind of frame, a mark for each model, and the aim."""
    groups = [group for group in next(iter(found.values())) if group != "all"][::-1]
    figure = Figure(figsize=(5.2, 0.19 * len(groups) + 1.0), layout="constrained")
    axes = figure.subplots()
    for (model, errors), style, marker in zip(found.items(), LINES, "os", strict=False):
        values = [errors[group]["forces_mev_per_angstrom"] for group in groups]
        axes.plot(values, range(len(groups)), marker, color=style["color"], markersize=5, label=model)
    axes.plot([find_aim(group) for group in groups], range(len(groups)), "|k", markersize=9, label="aim")
    axes.set_yticks(range(len(groups)), groups, fontsize=8)
    axes.set(xlabel="mean error of a force component / (meV/Å)", xlim=(0, None), ylim=(-0.7, len(groups) - 0.3))
    axes.grid(axis="y", linewidth=0.3)
    figure.legend(loc="outside upper center", fontsize=8, frameon=False, ncols=1)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--name", default="errors-proteins", help="of the files that are written")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    labelled = [frame for path in arguments.frames for frame in read_frames(path)]
    errors = {model: measure(model, labelled) for model in arguments.models}
    print(write_table(errors))
    arguments.to.mkdir(parents=True, exist_ok=True)
    report = {"files": [path.name for path in arguments.frames], "models": errors}
    (arguments.to / f"{arguments.name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw(errors, arguments.to / f"{arguments.name}.png")
