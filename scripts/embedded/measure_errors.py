"""Errors of an embedded network on frames that training never saw, as JSON and a figure.

python scripts/embedded/measure_errors.py orb-mini-conservative-inf-xtb --frames held_out.npz own.npz --to docs/embedded
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import read_frames
from orbmm.training.validation.errors import compare_frame


def collect(potential: Potential, files: list[Path]) -> dict[str, dict[str, np.ndarray]]:
    """Force errors of water and solute atoms, labels, and energy errors, by kind of frame."""
    groups: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for frame in (frame for path in files for frame in read_frames(path)):
        graph = prepare_frame(frame, potential.record)
        found = compare_frame(potential.network, graph)
        parts = groups[frame.group.rsplit("-", 1)[0]]
        parts["water"].append(found.forces[~graph.peptide])
        parts["peptide"].append(found.forces[graph.peptide])
        parts["label"].append(graph.forces)
        parts["energy"].append(found.energy)
    return {
        group: {part: torch.cat(v).numpy() if part != "energy" else np.array(v) for part, v in parts.items()}
        for group, parts in groups.items()
    }


def summarise(parts: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean absolute and root mean square errors [meV/Å], energy error with and without its mean [meV/atom]."""
    both = np.concatenate([parts["water"], parts["peptide"]])
    named = {"all": both, "water": parts["water"], "peptide": parts["peptide"]}
    summary = {"frames": len(parts["energy"]), "label_rms_meV_A": 1000 * float(np.sqrt((parts["label"] ** 2).mean()))}
    for name, errors in named.items():
        if len(errors):
            summary[f"{name}_mae_meV_A"] = 1000 * float(np.abs(errors).mean())
            summary[f"{name}_rmse_meV_A"] = 1000 * float(np.sqrt((errors**2).mean()))
    summary["energy_mae_meV_atom"] = 1000 * float(np.abs(parts["energy"]).mean())
    summary["energy_mae_without_offset_meV_atom"] = 1000 * float(
        np.abs(parts["energy"] - parts["energy"].mean()).mean()
    )
    return summary


def draw(groups: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Cumulative distribution of the force errors of water and of the solute."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for parts, style in (("water", "-"), ("peptide", "--")):
        for group, values in sorted(groups.items()):
            errors = np.sort(1000 * np.abs(values[parts]).ravel())
            if len(errors):
                axes.plot(errors, np.linspace(0, 1, len(errors)), style, label=f"{group}, {parts}")
    axes.set(
        xscale="log", xlim=(1, 2000), ylim=(0, 1), xlabel="error of a force component (meV/Å)", ylabel="share below"
    )
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    potential = load_model(arguments.model, arguments.weights, device="cpu", precision="float32-highest")
    groups = collect(potential, arguments.frames)
    summary = {
        "model": arguments.model,
        "weights_sha256": potential.weights_sha256,
        "groups": {group: summarise(parts) for group, parts in sorted(groups.items())},
    }
    print(json.dumps(summary, indent=1))
    if arguments.to:
        arguments.to.mkdir(parents=True, exist_ok=True)
        (arguments.to / f"errors-{arguments.model}.json").write_text(json.dumps(summary, indent=1) + "\n")
        draw(groups, arguments.to / f"errors-{arguments.model}.png")
