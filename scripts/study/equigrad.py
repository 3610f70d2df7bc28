"""Show what the penalty on orientation (equigrad) does: train with several shares, and measure how invariant each is.

    python scripts/study/equigrad.py --training pool.npz --validation held_out.npz --work equigrad --to docs/training

Each share is one short training from the embedded conservative network (or from scratch), in a folder of its own, so
the command may be stopped and repeated. An arm is a share, or SHARE@RAMP. A network whose weights are in the JSON at
--to, measured on the same frames, is not measured again. The figure is Figure 3 (left) of arXiv 2504.06231: for each
frame the norm of the rotational gradient, averaged over rotations, beside the standard deviation of the energy.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from orbmm.checkpoints.record_in_file import read_training
from orbmm.files import hash_file
from orbmm.model.load import load_model
from orbmm.model.network.orb import Orb
from orbmm.report.style import add_legend, make_panels, name_axes
from orbmm.settings.training import (
    DataSettings,
    LossSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.batches import LabelledGraph, join_graphs, prepare_frame
from orbmm.training.data.frames import read_frames
from orbmm.training.run import run_training
from orbmm.training.steps.state import FILE

ROTATIONS = 32
STEPS, SCRATCH_STEPS = 200, 300  # of the kept figures; a training of another length has it in its name
OUTPUTS = frozenset({"energy", "forces", "rotational_gradient"})


@dataclass(frozen=True)
class Invariance:
    """How a network's answers depend on orientation, one value for each frame.

    gradient_mev: mean norm of the rotational gradient; energy_mev: standard deviation of the energy
    forces_mev_angstrom: root mean square change of the forces, after they are turned back
    error_mev_angstrom: mean absolute error of the forces, over the rotations
    """

    gradient_mev: list[float]
    energy_mev: list[float]
    forces_mev_angstrom: list[float]
    error_mev_angstrom: list[float]


def measure_invariance(network: Orb, graphs: list[LabelledGraph], rotations: int = ROTATIONS) -> Invariance:
    """Return the invariance of a network on labelled frames; the same rotations for each network."""
    rows: list[tuple[float, float, float, float]] = []
    for graph in graphs:
        norms, energies, forces, labels = [], [], [], []
        for number in range(rotations):
            batch = join_graphs([graph], torch.Generator().manual_seed(number))
            found = network(batch.graph, OUTPUTS)
            turn = torch.linalg.lstsq(batch.forces.double(), graph.forces.double()).solution  # (3, 3), turns back
            norms.append(float(torch.linalg.matrix_norm(found.rotational_gradient)[0]))
            energies.append(float(found.energy))
            forces.append(found.forces.double() @ turn)
            labels.append(graph.forces.double())
        turned = torch.stack(forces)
        spread = float((turned - turned.mean(dim=0)).pow(2).mean().sqrt())
        error = float((turned - torch.stack(labels)).abs().mean())
        rows.append((float(np.mean(norms)), float(np.std(energies)), spread, error))
    columns = [[1000.0 * value for value in column] for column in zip(*rows, strict=True)]
    return Invariance(*columns)


def make_settings(arguments: argparse.Namespace, arm: str) -> TrainingSettings:
    """Return the settings of one arm, such as 0.2 or 0.2@1: share and ramp of the penalty."""
    share, _, ramp = arm.partition("@")
    name = f"share-{arm.replace('@', '-ramp-')}{name_length(arguments)}"
    return TrainingSettings(
        model=TrainedModelSettings(
            name=name, level_of_theory="GFN1-xTB", from_scratch=arguments.from_scratch, dispersion="contained"
        ),
        data=DataSettings(
            training=(arguments.training,), validation=(arguments.validation,), energy_unit="eV", force_unit="eV/Å"
        ),
        loss=LossSettings(
            rotation_share=float(share),
            rotation_ramp=float(ramp) if ramp else 0.5 if arguments.from_scratch else 0.0,
            huber_delta=0.5 if arguments.from_scratch else 0.05,
        ),
        optimizer=OptimizerSettings(steps=arguments.steps, learning_rate=arguments.learning_rate),
        run=TrainingRunSettings(output=arguments.work / name, validate_every=arguments.steps),
    )


def name_length(arguments: argparse.Namespace) -> str:
    """Return what a file or a folder is called for a number of steps beside the usual one: "-800", say."""
    usual = SCRATCH_STEPS if arguments.from_scratch else STEPS
    return "" if arguments.steps == usual else f"-{arguments.steps}"


def read_measured(path: Path, frames: int, validation_sha256: str) -> dict[str, dict]:
    """Return the arms of an earlier JSON by the hash of their weights; none if it is of other frames or rotations."""
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    measured = (earlier["frames"], earlier["rotations"], earlier["validation_sha256"])
    if measured != (frames, ROTATIONS, validation_sha256):
        return {}
    return {arm["weights_sha256"]: arm for arm in earlier["arms"].values()}


def train_arm(settings: TrainingSettings) -> Path:
    """Train, or go on with, one arm; return its weights."""
    folder = settings.run.output
    weights = folder / f"{settings.model.name}.safetensors"
    if not (folder / "validation.json").exists():
        run_training(settings, resume=(folder / FILE).exists())
    trained = read_training(weights)["settings"]
    kept = (trained["optimizer"]["steps"], trained["optimizer"]["learning_rate"], trained["model"]["from_scratch"])
    if kept != (settings.optimizer.steps, settings.optimizer.learning_rate, settings.model.from_scratch):
        sys.exit(f"{weights} was trained otherwise (steps, learning rate, from scratch: {kept}): take another --work")
    return weights


def draw(arms: dict[str, dict], path: Path) -> None:
    """Draw the standard deviation of the energy against the norm of the rotational gradient."""
    figure, (axes,) = make_panels()
    for name, arm in arms.items():
        axes.scatter(arm["gradient_mev"], arm["energy_mev"], s=14, label=name)
    axes.set(xscale="log", yscale="log")
    axes.margins(0.06)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    name_axes(axes, "norm of the rotational gradient (meV)", "energy deviation (meV)")
    add_legend(axes)
    figure.savefig(path, dpi=200)


def fit_slope(arms: dict[str, dict]) -> dict[str, float]:
    """Return correlation and slope of the logarithms over all networks and frames."""
    gradient = np.log(np.concatenate([arm["gradient_mev"] for arm in arms.values()]))
    energy = np.log(np.concatenate([arm["energy_mev"] for arm in arms.values()]))
    return {
        "correlation": float(np.corrcoef(gradient, energy)[0, 1]),
        "slope": float(np.polyfit(gradient, energy, 1)[0]),
    }


def main(arguments: argparse.Namespace) -> None:
    """Train all arms, measure them, and write JSON and figure."""
    frames = read_frames(arguments.validation)[: arguments.frames]
    kind = "scratch" if arguments.from_scratch else "fine-tune"
    target = arguments.to / f"equigrad-{kind}{name_length(arguments)}.json"
    earlier = read_measured(target, len(frames), hash_file(arguments.validation))
    arms: dict[str, dict] = {}
    paths: dict[str, Path | None] = {} if arguments.from_scratch else {"start": None}
    paths |= {arm: train_arm(make_settings(arguments, arm)) for arm in arguments.shares}
    for name, path in paths.items():
        potential = load_model(
            "orb-mini-conservative-inf-xtb" if path is None else str(path), device="cpu", precision="float32-highest"
        )
        if potential.weights_sha256 in earlier:
            arms[name] = earlier[potential.weights_sha256]
            continue
        graphs = [prepare_frame(frame, potential.record) for frame in frames]
        arms[name] = asdict(measure_invariance(potential.network, graphs))
        means = {key: round(float(np.mean(values)), 3) for key, values in arms[name].items()}
        arms[name]["means"] = means
        arms[name]["weights_sha256"] = potential.weights_sha256
        print(name, means, flush=True)
    result = {
        "steps": arguments.steps,
        "learning_rate": arguments.learning_rate,
        "training_sha256": hash_file(arguments.training),
        "validation_sha256": hash_file(arguments.validation),
        "rotations": ROTATIONS,
        "frames": len(frames),
        "logarithms": fit_slope(arms),
        "arms": arms,
    }
    arguments.to.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(arms, target.with_suffix(".png"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--to", type=Path, required=True, help="folder for the JSON and the figure")
    parser.add_argument("--shares", nargs="+", default=["0", "0.05", "0.2"])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--frames", type=int, default=16, help="how many held-out frames are turned")
    parser.add_argument("--from-scratch", action="store_true")
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(parser.parse_args())
