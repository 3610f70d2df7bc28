"""Train an embedded network on labelled frames, with the settings that its stages were made with.

    python scripts/embedded/train.py orb-mini-conservative-inf-xtb --frames labelled.npz [more.npz] --folder training

Stopped and repeated, it goes on where it was. The result is folder/<name>.safetensors. A second stage on chosen frames,
at a lower learning rate, begins with --start and may leave groups of frames out with --groups.
`orbmm train` does the same from a settings file; this script adds the mean of several starts and the choice of groups.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from orbmm.settings.training import (
    DataSettings,
    LossSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.frames import read_frames
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.steps.loop import train


def average_weights(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Return the mean of several weights files of one network, tensor by tensor."""
    states = [load_file(file) for file in files]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }


def make_settings(arguments: argparse.Namespace) -> TrainingSettings:
    """Return the settings of a training; the mean of the starts is written into its folder."""
    start = arguments.folder / "start.safetensors"
    if arguments.start:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        save_file(average_weights(arguments.start), start)
    return TrainingSettings(
        model=TrainedModelSettings(
            name=arguments.model,
            level_of_theory="GFN1-xTB",
            start=arguments.model,
            weights=start if arguments.start else None,
            from_scratch=not arguments.start,
            dispersion="contained: GFN1-xTB has D3(BJ)",
        ),
        data=DataSettings(training=tuple(arguments.frames), energy_unit="eV", force_unit="eV/Å"),
        loss=LossSettings(
            energy_weight=arguments.energy_weight,
            solute_weight=arguments.peptide_weight,
            huber_delta=arguments.huber_delta,
        ),
        optimizer=OptimizerSettings(
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
            edges_per_batch=arguments.edges_per_batch,
        ),
        run=TrainingRunSettings(output=arguments.folder, seed=arguments.seed, compile=arguments.compile),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=8e-3)
    parser.add_argument("--energy-weight", type=float, default=0.005)
    parser.add_argument("--peptide-weight", type=float, default=4.0)
    parser.add_argument("--huber-delta", type=float, default=0.5)
    parser.add_argument("--edges-per-batch", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--start", type=Path, nargs="+", default=(), help="weights to begin with; of several, their mean"
    )
    parser.add_argument("--groups", nargs="+", help="train on groups that begin so, such as box water drop")
    parser.add_argument("--compile", action="store_true", help="faster steps after some minutes; needs a C++ compiler")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(arguments.threads)
    frames = [frame for path in arguments.frames for frame in read_frames(path)]
    if arguments.groups:
        frames = [frame for frame in frames if frame.group.startswith(tuple(arguments.groups))]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    task = prepare_task(make_settings(arguments), LabelledData(frames, []), arguments.folder)
    trained = train(task, lambda row: print(f"step {row['step']:.0f}, force loss {row['forces_loss']:.4f}", flush=True))
    print(trained.weights)
