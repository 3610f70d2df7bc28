"""Force errors of the networks of proteins by residue, ion and metal site: a table, JSON and a figure.

    python scripts/embedded/measure_protein_errors.py --frames training-data/held-residues-labelled.npz \\
        training-data/held-complexes-labelled.npz --to docs/embedded

No frame of these files was trained on. Frames are grouped by the name of their trajectory without its numbers.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from orbmm.model.load import load_model
from orbmm.report.style import LINES
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import Frame, read_frames
from orbmm.training.validation.errors import validate

MODELS = ("orb-mini-conservative-inf-proteins", "orb-mini-direct-inf-proteins")
AIMS = {"water": 60.0, "residues": 100.0, "zinc": 150.0}
"""The largest mean force error that was aimed at [meV/Å]."""


def name_group(group: str) -> str:
    """Return the kind of a frame: zn-cys4-500-11 is zn-cys4, held-lys is lys."""
    return re.sub(r"(-\d+)+$", "", group).removeprefix("held-")


def find_aim(group: str) -> float:
    """Return the largest mean force error that was aimed at for a kind of frame [meV/Å]."""
    return AIMS["zinc"] if group.startswith("zn") else AIMS["water"] if group == "water" else AIMS["residues"]


def measure(model: str, frames: list[Frame]) -> dict[str, dict[str, Any]]:
    """Return the errors on each kind of frame as `orbmm train` validates them, residues first and all at the end."""
    potential = load_model(model, device="cpu", precision="float32-highest")
    kinds = [replace(frame, group=name_group(frame.group)) for frame in frames]
    found = validate(potential.network, [prepare_frame(frame, potential.record) for frame in kinds])
    ordered = sorted(found.items(), key=lambda entry: (entry[0] == "all", "-" in entry[0], entry[0]))
    return {group: asdict(errors) for group, errors in ordered}


def write_table(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return the force errors as a Markdown table, a row for each kind of frame."""
    first = next(iter(found.values()))
    lines = ["| frames | number | " + " | ".join(found) + " | aim |", "|---|---|" + "---|" * (len(found) + 1)]
    for group in first:
        cells = [f"{found[model][group]['forces_mev_per_angstrom']:.0f}" for model in found]
        aim = "" if group == "all" else f"{find_aim(group):.0f}"
        lines.append(f"| {group} | {first[group]['frames']} | {' | '.join(cells)} | {aim} |")
    return "\n".join(lines)


def draw(found: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
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
