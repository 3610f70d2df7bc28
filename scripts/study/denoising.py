"""Try denoising before the labels, as the published models began: equal steps, and the error on held-out frames.

    python scripts/study/denoising.py --training pool.npz --held-out held_out.npz --work denoising \\
        --to docs/training/denoising.json

Both arms begin with the same random weights of the size of the embedded direct network. One learns from labels alone.
The other spends the first half on noise: atoms are moved at random, and its forces learn to move them back. The size of
these forces is that of the labels, so the second half goes on with the same scale. Stopped and repeated, it goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from orbmm.files import hash_file
from orbmm.settings.paths import OWN_NAME
from orbmm.settings.training import (
    DataSettings,
    LossSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.frames import Frame, read_frames, write_frames
from orbmm.training.run import run_training
from orbmm.training.start.statistics import compute_force_scale
from orbmm.training.steps.state import FILE

SIZE = "orb-mini-direct-inf-xtb"
EDGES_PER_BATCH = 4000


def add_noise(frames: list[Frame], copies: int, width_angstrom: float) -> list[Frame]:
    """Return moved copies of frames, with forces that point back and have the size of the labels."""
    draw = np.random.default_rng(1)
    stiffness = compute_force_scale(frames) / width_angstrom  # [eV/Å^2]
    moved = []
    for _ in range(copies):
        for frame in frames:
            noise = draw.normal(0.0, width_angstrom, frame.positions.shape)
            moved.append(replace(frame, positions=frame.positions + noise, forces=-stiffness * noise, stress=None))
    return moved


def train(arguments: argparse.Namespace, name: str, frames: Path, steps: int, start: Path | None) -> dict:
    """Train one part, or go on with it; return its errors on the held-out frames."""
    folder = arguments.work / name
    settings = TrainingSettings(
        model=TrainedModelSettings(
            name=name,
            level_of_theory="GFN1-xTB",
            start=SIZE if start is None else OWN_NAME,
            weights=start,
            from_scratch=start is None,
            dispersion="contained",
        ),
        data=DataSettings(training=(frames,), validation=(arguments.held_out,), energy_unit="eV", force_unit="eV/Å"),
        loss=LossSettings(energy_weight=0.0 if name == "noise" else 0.005),
        optimizer=OptimizerSettings(steps=steps, learning_rate=5e-3, edges_per_batch=EDGES_PER_BATCH),
        run=TrainingRunSettings(output=folder, validate_every=steps, save_every=100, device="cpu"),
    )
    trained = run_training(settings, resume=(folder / FILE).exists())
    return asdict(trained.after["all"]) | {"steps": steps, "weights_sha256": hash_file(trained.weights)}


def main(arguments: argparse.Namespace) -> None:
    """Train the three parts, and write the JSON."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    noised = arguments.work / f"noised-{arguments.width:g}-{arguments.copies}.npz"
    if not noised.exists():
        write_frames(noised, add_noise(read_frames(arguments.training), arguments.copies, arguments.width))
    half = arguments.steps // 2
    noise = train(arguments, "noise", noised, half, None)
    after_noise = train(arguments, "after-noise", arguments.training, half, arguments.work / "noise/noise.safetensors")
    labels = train(arguments, "labels", arguments.training, 2 * half, None)
    result = {
        "training_sha256": hash_file(arguments.training),
        "held_out_sha256": hash_file(arguments.held_out),
        "width_angstrom": arguments.width,
        "edges_per_batch": EDGES_PER_BATCH,
        "noise": noise,
        "labels after noise": after_noise,
        "labels alone": labels,
    }
    print(json.dumps(result, indent=1))
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, required=True, help="labelled frames, .npz")
    parser.add_argument("--held-out", type=Path, required=True, help="labelled frames, .npz")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="the JSON")
    parser.add_argument("--steps", type=int, default=600, help="of each arm")
    parser.add_argument("--copies", type=int, default=4, help="noised copies of each frame")
    parser.add_argument("--width", type=float, default=0.05, help="standard deviation of the noise [Å]")
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(parser.parse_args())
