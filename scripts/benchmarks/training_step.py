"""Time the gradient of one batch: plain, with the penalty on orientation (equigrad), and compiled.

    python scripts/benchmarks/training_step.py --frames pool.npz --compile \\
        --to scripts/benchmarks/results/training-step.json

The embedded conservative network on labelled frames of `orbmm label`. A gradient is the forward pass with forces, the
losses and the backward pass; drawing the batch and the optimizer are the same in all ways and left out. The ways take
turns, and each has its median CPU time. The compiled gradients are also compared with the plain ones.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from results_file import describe_run, write_results

from orbmm.model.load import load_model
from orbmm.model.network.orb import Orb
from orbmm.settings.training import LossSettings
from orbmm.training.data.batches import Batch, join_graphs, prepare_frame
from orbmm.training.data.frames import read_frames
from orbmm.training.start.statistics import compute_force_scale
from orbmm.training.steps.losses import compute_losses

MODEL = "orb-mini-conservative-inf-xtb"
OUTPUTS = frozenset({"energy", "forces", "confidence_logits"})
SHARE = 0.2


def load_network() -> Orb:
    """Return the embedded network, ready for training."""
    return load_model(MODEL, device="cpu", precision="float32-highest").network.float().requires_grad_(True).train()


def compute_gradient(network: Orb, batch: Batch, share: float, force_scale: float) -> float:
    """Leave the gradient of one batch in the network, and return its CPU time [s]."""
    network.zero_grad(set_to_none=True)
    begin = time.process_time()
    wanted = OUTPUTS | ({"rotational_gradient"} if share else frozenset())
    losses = compute_losses(
        network, network(batch.graph, wanted), batch, LossSettings(rotation_share=share), force_scale, 1.0
    )
    losses.total.backward()
    return time.process_time() - begin


def compare_gradients(one: Orb, other: Orb) -> float:
    """Return the largest difference of the gradients of a weight, relative to the largest gradient of that weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a.grad - b.grad).abs().max() / a.grad.abs().max().clamp(min=1e-12)) for a, b in pairs)


def main(arguments: argparse.Namespace) -> None:
    """Measure all ways in turns, and write the JSON."""
    about = describe_run(1)
    frames = [frame for frame in read_frames(arguments.frames) if frame.cell is not None][: arguments.batch]
    networks = {"plain": load_network()}
    record = load_model(MODEL, device="cpu").record
    batch = join_graphs([prepare_frame(frame, record) for frame in frames])
    scale = compute_force_scale(frames)
    ways = {"plain": ("plain", 0.0), "equigrad": ("plain", SHARE)}
    result: dict[str, object] = {"edges": len(batch.graph.senders), "atoms": len(batch.forces), "share": SHARE}
    if arguments.compile:
        networks["compiled"] = load_network()
        networks["compiled"].compile_network()
        ways["compiled"] = ("compiled", 0.0)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds + 1):
        for way, (network, share) in ways.items():
            seconds[way].append(compute_gradient(networks[network], batch, share, scale))
    result["first_cpu_s"] = {way: found[0] for way, found in seconds.items()}
    medians = {way: float(np.median(found[1:])) for way, found in seconds.items()}
    result["cpu_ms"] = {way: 1000.0 * median for way, median in medians.items()}
    ratios = {way: np.array(found[1:]) / np.array(seconds["plain"][1:]) for way, found in seconds.items()}
    result["ratio_to_plain"] = {
        way: [float(np.quantile(one, q)) for q in (0.25, 0.5, 0.75)] for way, one in ratios.items()
    }
    if arguments.compile:
        for network in networks.values():
            compute_gradient(network, batch, 0.0, scale)
        result["gradient_difference"] = compare_gradients(networks["plain"], networks["compiled"])
    print(result)
    write_results(arguments.to, about, result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="labelled frames, .npz; boxes are taken")
    parser.add_argument("--batch", type=int, default=1, help="frames of the batch")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="also measure the compiled network")
    parser.add_argument("--to", type=Path)
    torch.set_num_threads(1)
    main(parser.parse_args())
