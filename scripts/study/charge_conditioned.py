"""Measure whether a total charge as input makes a small network better on ions, zinc and charged residues.

    python scripts/study/charge_conditioned.py --frames training-data --work charge --to docs/training/charge.json

The frames are those of scripts/embedded/make_networks.py. Two networks of the size of the embedded direct one begin as
the same function and see the same batches; one reads the total charge in every layer, as the published omol models do.
Whole trajectories and one protein are held out. The network with charge is measured twice: with the charge of the
frame, and with another one (0 for charged frames, +1 for neutral ones), since the charge of a whole protein in water is
not that of each part. Stopped and repeated, it goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.files import hash_file, make_folder
from orbmm.model.load import load_model
from orbmm.settings.training import (
    DataSettings,
    LossSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.checks import check_apart, check_frames
from orbmm.training.data.frames import Frame, hash_frames, read_frames
from orbmm.training.data.reading import LabelledData
from orbmm.training.start.begin import Start, begin_training
from orbmm.training.start.statistics import compute_force_scale
from orbmm.training.steps.loop import train
from orbmm.training.steps.state import identify
from orbmm.training.steps.task import Task
from orbmm.training.validation.errors import compare_frame

SIZE = "orb-mini-direct-inf-xtb"
FILES, HELD_OUT_FILE = ("residues", "salt", "complexes", "fragments"), "held-residues"
HELD_OUT_PROTEIN, HELD_OUT_EVERY = "1l2y", 5
WITHOUT, WITH, OTHER = "without charge", "with charge", "given another charge"
CARBON, NITROGEN, SODIUM, CHLORINE, ZINC = 6, 7, 11, 17, 30
RESIDUES, ALL = "residues", "all"
RESAMPLES = 1000


@dataclass(frozen=True)
class Measured:
    """What a network does on one held-out frame.

    energy_ev: prediction minus label, of the whole frame; forces_ev_angstrom: (N, 3), absolute differences
    """

    frame: Frame
    energy_ev: float
    forces_ev_angstrom: np.ndarray


def read_charged(path: Path) -> list[Frame]:
    """Read labelled frames; those without a charge are neutral, as their labels are. Exit for unpaired electrons."""
    frames = [replace(frame, charge=frame.charge or 0, multiplicity=1) for frame in read_frames(path)]
    for frame in frames:
        if (int(frame.atomic_numbers.sum()) - (frame.charge or 0)) % 2:
            sys.exit(f"{frame.source}: has an odd number of electrons with charge {frame.charge:+d}: wrong charge")
    return frames


def name_trajectory(frame: Frame) -> str:
    """Return which frames belong together: a trajectory, or all fragments of one protein."""
    return frame.group.split("-")[0] if "-fragment-" in frame.group else frame.group


def hold_out(files: Sequence[Sequence[Frame]]) -> LabelledData:
    """Return training and held-out frames: of each file every fifth trajectory, in the order of charge and name."""
    data = LabelledData([], [])
    for frames in files:
        charges = {name_trajectory(frame): frame.charge != 0 for frame in frames}
        proteins = {name_trajectory(frame) for frame in frames if "-fragment-" in frame.group}
        ordered = sorted(charges.keys() - proteins, key=lambda name: (charges[name], name))
        held = {*ordered[1::HELD_OUT_EVERY], HELD_OUT_PROTEIN}
        for frame in frames:
            (data.validation if name_trajectory(frame) in held else data.training).append(frame)
    return data


def read_split(arguments: argparse.Namespace) -> LabelledData:
    """Read and check all frames, and return every n-th of the training frames and of those held out."""
    data = hold_out([read_charged(arguments.frames / f"{name}-labelled.npz") for name in FILES])
    data.validation.extend(read_charged(arguments.frames / f"{HELD_OUT_FILE}-labelled.npz"))
    data = LabelledData(data.training[:: arguments.every], data.validation[:: arguments.every])
    for part in (data.training, data.validation):
        check_frames(part, make_record(WITH))
    check_apart(data.training, data.validation)
    return data


def name_kind(frame: Frame) -> str:
    """Return what is in a frame, by its elements."""
    elements = set(frame.atomic_numbers.tolist())
    if ZINC in elements:
        return "zinc complexes"
    ions = bool(elements & {SODIUM, CHLORINE})
    if NITROGEN in elements:
        return "residues and ions" if ions else RESIDUES
    if ions:
        return "salt in water"
    return "water" if frame.charge == 0 and CARBON not in elements else "carbon dioxide, bicarbonate, hydroxide"


def make_settings(arguments: argparse.Namespace, arm: str, seed: int) -> TrainingSettings:
    """Return the settings of one training."""
    name = f"{arm.replace(' ', '-')}-{seed}"
    return TrainingSettings(
        model=TrainedModelSettings(
            name=name, level_of_theory="GFN1-xTB", start=SIZE, from_scratch=True, dispersion="contained"
        ),
        data=DataSettings(training=(arguments.frames,), energy_unit="eV", force_unit="eV/Å", charged_frames="train"),
        loss=LossSettings(solute_weight=1.5),
        optimizer=OptimizerSettings(
            steps=arguments.steps, learning_rate=arguments.learning_rate, edges_per_batch=arguments.edges
        ),
        run=TrainingRunSettings(
            output=arguments.work / name,
            seed=seed,
            save_every=100,
            validate_every=arguments.steps,
            device="cpu",
        ),
    )


def make_record(arm: str) -> CheckpointRecord:
    """Return the record of the embedded size, with or without charge as input."""
    record = find_record(SIZE)
    takes = arm == WITH
    return replace(record, takes_charge=takes, architecture=replace(record.architecture, charge_and_spin=takes))


def begin(settings: TrainingSettings, arm: str, frames: Sequence[Frame]) -> Start:
    """Return the start of one arm: random weights that are the same in both, so that both begin as one function.

    The projections of the charge begin at 0, its frequencies at random, as in orb-models.
    """
    start = begin_training(settings, make_record(arm), frames)
    if arm == WITHOUT:
        return start
    weights = begin_training(settings, make_record(WITHOUT), frames).network.state_dict()
    generator = torch.Generator().manual_seed(settings.run.seed)
    for name, tensor in start.network.state_dict().items():
        if "_cond_node_proj" in name:
            weights[name] = torch.zeros_like(tensor)
        elif name.startswith("model.conditioner."):
            weights[name] = torch.randn(tensor.shape, generator=generator)
    start.network.load_state_dict(weights)
    return start


def train_arm(settings: TrainingSettings, arm: str, frames: Sequence[Frame]) -> Path:
    """Train one arm, or go on with it; return its weights."""
    begun = begin(settings, arm, frames)
    folder = settings.run.output
    make_folder(folder)
    task = Task(
        network=begun.network,
        record=begun.record,
        training=[prepare_frame(frame, begun.record) for frame in frames],
        validation=[],
        force_scale=compute_force_scale(frames),
        settings=settings,
        folder=folder,
        identity=identify(settings, hash_frames(frames)),
        unused=begun.unused,
    )
    return train(task).weights


def measure(weights: Path, frames: Sequence[Frame], other: bool = False) -> list[Measured]:
    """Return the errors of a network on each frame. other: it is given 0 for charged frames and +1 for neutral ones."""
    potential = load_model(str(weights), device="cpu", precision="float32-highest")
    rows = []
    for frame in frames:
        given = replace(frame, charge=0 if frame.charge else 1) if other else frame
        found = compare_frame(potential.network, prepare_frame(given, potential.record))
        energy = found.energy * len(frame.atomic_numbers)
        rows.append(Measured(frame, energy, found.forces.abs().double().numpy()))
    return rows


def average(rows: Sequence[Measured]) -> dict[str, float]:
    """Return the mean absolute errors of some frames."""
    energies = [abs(row.energy_ev) / len(row.forces_ev_angstrom) for row in rows]
    return {
        "frames": len(rows),
        "energy_mev_per_atom": 1000.0 * float(np.mean(energies)),
        "forces_mev_per_angstrom": 1000.0 * float(np.concatenate([row.forces_ev_angstrom for row in rows]).mean()),
    }


def tabulate(rows: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Return the errors by kind, charged and neutral frames apart, and over all kinds."""
    table: dict[str, list[Measured]] = {}
    for row in rows:
        state = "charged" if row.frame.charge else "neutral"
        for kind in (name_kind(row.frame), ALL):
            table.setdefault(f"{kind}, {state}", []).append(row)
    return {name: average(table[name]) for name in sorted(table, key=lambda name: (name.startswith(ALL), name))}


def fit_charge(rows: Sequence[Measured]) -> dict[str, float]:
    """Return the energy error per charge [eV/e] of a linear fit, and its standard error, by resampling trajectories."""
    groups = sorted({row.frame.group for row in rows})
    members: dict[str, list[tuple[int, float]]] = {group: [] for group in groups}
    for row in rows:
        members[row.frame.group].append((row.frame.charge or 0, row.energy_ev))
    draw = np.random.default_rng(1)
    samples = [_fit([pair for group in groups for pair in members[group]])]
    for _ in range(RESAMPLES):
        chosen = draw.choice(len(groups), len(groups))
        samples.append(_fit([pair for index in chosen for pair in members[groups[index]]]))
    return {"ev_per_e": samples[0], "standard_error": float(np.nanstd(samples[1:]))}


def _fit(pairs: Sequence[tuple[int, float]]) -> float:
    charges, energies = np.array(pairs, dtype=float).T
    return float(np.polyfit(charges, energies, 1)[0]) if np.ptp(charges) else float("nan")


def describe(rows: Sequence[Measured]) -> dict[str, dict]:
    """Return all that is kept of one network."""
    parts = {ALL: rows, RESIDUES: [row for row in rows if name_kind(row.frame) == RESIDUES]}
    fits = {name: fit_charge(part) for name, part in parts.items() if len({row.frame.charge for row in part}) > 1}
    return {"errors": tabulate(rows), "per_charge": fits}


def format_table(seeds: dict[str, dict[str, dict]]) -> str:
    """Return a Markdown table: forces [meV/Å] and energy [meV/atom], the mean over the seeds."""
    arms = [WITHOUT, WITH, OTHER]
    first = next(iter(seeds.values()))
    heads = ["held-out frames", "number", *(f"{what}, {arm}" for what in ("forces", "energy") for arm in arms)]
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|---" * 8 + "|")
    for name, row in first[WITHOUT]["errors"].items():
        cells = [name, str(row["frames"])]
        for key in ("forces_mev_per_angstrom", "energy_mev_per_atom"):
            for arm in arms:
                cells.append(f"{np.mean([found[arm]['errors'][name][key] for found in seeds.values()]):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: argparse.Namespace) -> None:
    """Train both arms with each seed, measure them, write the JSON and print the table."""
    data = read_split(arguments)
    seeds: dict[str, dict[str, dict]] = {}
    for seed in arguments.seeds:
        found: dict[str, dict] = {}
        for arm in (WITHOUT, WITH):
            weights = train_arm(make_settings(arguments, arm, seed), arm, data.training)
            found[arm] = {"weights_sha256": hash_file(weights), **describe(measure(weights, data.validation))}
            if arm == WITH:
                found[OTHER] = {"errors": tabulate(measure(weights, data.validation, other=True))}
        seeds[str(seed)] = found
    result = {
        "steps": arguments.steps,
        "learning_rate": arguments.learning_rate,
        "edges_per_batch": arguments.edges,
        "every": arguments.every,
        "training_frames": len(data.training),
        "training_sha256": hash_frames(data.training),
        "held_out_sha256": hash_frames(data.validation),
        "seeds": seeds,
    }
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(format_table(seeds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="folder of the labelled frames")
    parser.add_argument("--work", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--to", type=Path, required=True, help="the JSON")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--edges", type=int, default=4000, help="in a batch")
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame, 1: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(parser.parse_args())
