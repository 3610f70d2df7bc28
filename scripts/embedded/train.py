"""Train an embedded network on labelled frames.

    python scripts/embedded/train.py orb-mini-conservative-inf-xtb --frames labelled.npz [more.npz] --folder training

Stopped and repeated, it goes on where it was. The result is folder/<name>.safetensors. A second stage on chosen frames,
at a lower learning rate, begins with --start and may leave groups of frames out with --groups.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.training.dataset import read_frames
from orbmm.training.loop import TrainingSettings, train

if __name__ == "__main__":
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--energy-weight", type=float, default=defaults.energy_weight)
    parser.add_argument("--peptide-weight", type=float, default=defaults.peptide_weight)
    parser.add_argument("--huber-delta", type=float, default=defaults.huber_delta)
    parser.add_argument("--edges-per-batch", type=int, default=defaults.edges_per_batch)
    parser.add_argument("--seed", type=int, default=defaults.seed)
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
    settings = replace(
        defaults,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        energy_weight=arguments.energy_weight,
        peptide_weight=arguments.peptide_weight,
        huber_delta=arguments.huber_delta,
        edges_per_batch=arguments.edges_per_batch,
        seed=arguments.seed,
        compile=arguments.compile,
    )
    print(train(find_record(arguments.model), frames, arguments.folder, settings, arguments.start))
