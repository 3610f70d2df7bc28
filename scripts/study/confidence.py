"""Compare expected and true force errors inside and outside the domain, before and after a refit of the confidence.

    python scripts/study/confidence.py --fit pool.npz --held-out held_out.npz --molecules molecules.npz \\
        --liquids liquids.npz --work confidence --to docs/training

The frames are those of sample_frames.py (--plan training --repeat 3, and --plan held-out), of write_molecules.py and of
write_liquids.py, labelled by `orbmm label`. The head learns from the first file and every second molecule; all other
frames are measured.
The figure is Figure 4 of arXiv 2504.06231: the mean true error of the atoms in each bin of the expected error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from orbmm.files import hash_file
from orbmm.model.load import load_model
from orbmm.model.network.orb import Orb
from orbmm.report.style import add_legend_above, make_panels, name_axes
from orbmm.settings.training import (
    ConfidenceSettings,
    DataSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.confidence.calibration import measure_calibration
from orbmm.training.confidence.head import compute_atom_errors, expect_errors, require_head
from orbmm.training.data.batches import LabelledGraph, prepare_frame
from orbmm.training.data.frames import read_frames
from orbmm.training.refit import split_groups
from orbmm.training.run import run_training

MODELS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
INSIDE, OUTSIDE = "held-out boxes", "other molecules"
LIQUIDS = ("ethanol", "hydroxide", "hydronium")
COLOURS = {
    INSIDE: "tab:blue",
    OUTSIDE: "tab:red",
    "ethanol": "tab:green",
    "hydroxide": "tab:orange",
    "hydronium": "tab:purple",
}
FALSE_ALARMS = 0.01


def make_settings(model: str, arguments: argparse.Namespace) -> TrainingSettings:
    """Return the settings of a refit."""
    return TrainingSettings(
        model=TrainedModelSettings(
            name=f"{model}-refitted", level_of_theory="GFN1-xTB", start=model, dispersion="contained"
        ),
        data=DataSettings(
            training=(arguments.fit,), validation=(arguments.held_out,), energy_unit="eV", force_unit="eV/Å"
        ),
        optimizer=OptimizerSettings(steps=0),
        confidence=ConfidenceSettings(refit=True, frames=(arguments.molecules,)),
        run=TrainingRunSettings(output=arguments.work / model),
    )


def measure_flags(
    network: Orb, inside: Sequence[LabelledGraph], outside: dict[str, list[LabelledGraph]]
) -> dict[str, float | dict[str, float | None]]:
    """Return the expected error [meV/Å] above which 1% of the good atoms inside the domain lie.

    Also returned is the share of the atoms with a large error that are above it too, for each domain outside.
    """
    head = require_head(network)
    last = float(head.bin_edges[-1])
    known = compute_atom_errors(network, inside)
    limit = float(torch.quantile(expect_errors(head, known.features)[known.errors <= last], 1.0 - FALSE_ALARMS))
    flagged: dict[str, float | None] = {}
    for domain, graphs in outside.items():
        atoms = compute_atom_errors(network, graphs)
        large = expect_errors(head, atoms.features)[atoms.errors > last]
        flagged[domain] = float((large > limit).float().mean()) if len(large) else None
    return {"limit_mev_per_angstrom": 1000.0 * limit, "flagged": flagged}


def draw(found: dict[str, dict], path: Path) -> None:
    """Draw the mean true error of each bin with enough atoms against the expected one, for each model.

    Dotted lines are before the refit, full lines after it.
    """
    figure, panels = make_panels(2)
    for axes, (model, arms) in zip(panels, found.items(), strict=True):
        for domain, colour in COLOURS.items():
            for arm, line in (("before", "o:"), ("after", "s-")):
                bins = [one for one in arms[arm][domain]["bins"] if one["atoms"] >= 10]
                expected, true = ([one[f"{name}_mev_per_angstrom"] for one in bins] for name in ("expected", "true"))
                axes.plot(
                    expected,
                    true,
                    line,
                    color=colour,
                    markersize=3.5,
                    linewidth=1.2,
                    label=domain if arm == "after" else None,
                )
        axes.plot([10, 320], [10, 320], color="0.6", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlim=(15, 320), ylim=(20, 4000))
        axes.text(0.02, 0.9, model, transform=axes.transAxes, fontsize=9)
        name_axes(axes, None, "true force error (meV/Å)")
    for axis in (panels[-1].xaxis, *(axes.yaxis for axes in panels)):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    panels[-1].set_xlabel("expected force error (meV/Å)")
    add_legend_above(panels[0], columns=3)
    figure.savefig(path, dpi=200)


def measure_model(model: str, arguments: argparse.Namespace) -> dict[str, dict]:
    """Refit a model and return what was measured before and after."""
    weights = arguments.work / model / f"{model}-refitted.safetensors"
    if not weights.exists():
        run_training(make_settings(model, arguments))
    result: dict[str, dict] = {}
    for arm, name in (("before", model), ("after", str(weights))):
        potential = load_model(name, device="cpu", precision="float32-highest")
        inside = [prepare_frame(frame, potential.record) for frame in read_frames(arguments.held_out)]
        molecules = [prepare_frame(frame, potential.record) for frame in read_frames(arguments.molecules)]
        liquids = [prepare_frame(frame, potential.record) for frame in read_frames(arguments.liquids)]
        outside = {OUTSIDE: split_groups(molecules)[1]}
        outside |= {group: [graph for graph in liquids if graph.group == group] for group in LIQUIDS}
        result[arm] = {
            "weights_sha256": potential.weights_sha256,
            "at_one_percent": measure_flags(potential.network, inside, outside),
        }
        for domain, graphs in {INSIDE: inside, **outside}.items():
            found = measure_calibration(potential.network, graphs)
            result[arm][domain] = asdict(found) | {"ratio": found.ratio, "is_monotonic": found.is_monotonic}
        print(model, arm, result[arm]["at_one_percent"], result[arm][INSIDE]["ratio"], flush=True)
    return result


def main(arguments: argparse.Namespace) -> None:
    """Refit both models, measure them, and write JSON and figure."""
    found = {model: measure_model(model, arguments) for model in MODELS}
    files = {name: getattr(arguments, name) for name in ("fit", "held_out", "molecules", "liquids")}
    result = {**{f"{name}_sha256": hash_file(path) for name, path in files.items()}, "models": found}
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "confidence.json").write_text(json.dumps(_round(result), indent=1) + "\n", encoding="utf-8")
    draw(found, arguments.to / "confidence.png")


def _round(value: object) -> object:
    if isinstance(value, dict):
        return {name: _round(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_round(each) for each in value]
    return float(np.format_float_positional(value, 4, fractional=False)) if isinstance(value, float) else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (
        ("--fit", "labelled frames of the domain that the head learns from"),
        ("--held-out", "labelled frames of the domain that are measured"),
        ("--molecules", "labelled frames outside the domain, of which half is learned from"),
        ("--liquids", "labelled frames outside the domain, all measured"),
        ("--work", "folder for the refitted weights"),
        ("--to", "folder for the JSON and the figure"),
    ):
        parser.add_argument(name, type=Path, required=True, help=what)
    torch.set_num_threads(1)
    main(parser.parse_args())
