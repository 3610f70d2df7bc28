"""Train a network on labelled frames; a run can be resumed, and is reproducible from its seed."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.files import replace_file
from orbmm.model.load import make_network
from orbmm.model.network.heads import REFERENCE_ELEMENTS
from orbmm.model.network.orb import DirectOrb, Orb
from orbmm.training.batches import LabelledGraph, join_graphs, prepare_frame
from orbmm.training.dataset import Frame
from orbmm.training.losses import LossWeights, judge_confidence, weigh_errors
from orbmm.training.optimizer import MixedOptimizer

_log = logging.getLogger(__name__)
AVERAGE_DECAY = 0.995
ENERGY_RAMP = 0.3  # share of the training over which the energy's weight grows to its full strength


MAX_CONFIDENCE_ERROR = 0.3  # [eV/Å], upper edge of the last bin, as in the published models


@dataclass(frozen=True)
class TrainingSettings:
    """Length, learning rate, batches and loss of a training.

    steps: optimizer steps; edges_per_batch: frames are added until they have this many edges; clip: gradient norm
    huber_delta: the force error above which the loss is linear instead of quadratic, in units of the root mean square
        of the label forces; a last stage with a small value lowers the mean absolute error
    compile: compile the network first (needs a C++ compiler); takes minutes, then more than halves the time per step
    """

    steps: int = 6000
    learning_rate: float = 8e-3
    edges_per_batch: int = 6000
    peptide_weight: float = 4.0
    energy_weight: float = 0.005
    huber_delta: float = 0.5
    clip: float = 10.0
    seed: int = 1
    save_every: int = 200
    compile: bool = False


def train(
    record: CheckpointRecord,
    frames: Sequence[Frame],
    folder: Path,
    settings: TrainingSettings,
    start: Sequence[Path] = (),
) -> Path:
    """Train the network of a record, or continue from the state in the folder; return the weights file.

    start: weights files to start from instead of random weights; of several, the mean is taken. Their reference
        energies and scales are kept.
    The returned weights are the exponential average over the steps, written as safetensors with official names.
    """
    torch.manual_seed(settings.seed)
    network = make_network(record).float()
    _initialise(network, settings.seed)
    set_statistics(network, frames)
    if start:
        network.load_state_dict(average_weights(start))
    average = deepcopy(network).requires_grad_(False)
    graphs = [prepare_frame(frame, record.architecture, record.max_neighbors) for frame in frames]
    optimizer = MixedOptimizer(network, settings.learning_rate, settings.steps)
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "training.pt"
    begin = _resume(saved, network, average, optimizer) if saved.exists() else 0
    weights = LossWeights(force_scale(frames), settings.peptide_weight, settings.energy_weight, settings.huber_delta)
    network.train()
    if settings.compile:
        network.compile_network()
    began = time.monotonic()
    for step in range(begin, settings.steps):
        batch = join_graphs(*_draw(graphs, settings, step))
        prediction = network(batch.graph, frozenset({"energy", "forces", "confidence"}))
        loss = weigh_errors(prediction, batch, weights, min(1.0, step / (ENERGY_RAMP * settings.steps)))
        confidence = judge_confidence(network, prediction.confidence, prediction, batch)
        (loss + confidence).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        _update_average(average, network, step)
        if (step + 1) % 100 == 0:
            spent = time.monotonic() - began
            _log.info("step %d of %d, loss %.4f, %.0f s", step + 1, settings.steps, loss.item(), spent)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            _save(saved, network, average, optimizer, step + 1)
            write_weights(average, folder / f"{record.name}.safetensors")
    return folder / f"{record.name}.safetensors"


def average_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of several weights files of one network, tensor by tensor."""
    states = [load_file(file) for file in files]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }


def write_weights(network: Orb, path: Path) -> None:
    """Write the tensors of a network as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def _draw(graphs: Sequence[LabelledGraph], settings: TrainingSettings, step: int) -> tuple[list, torch.Generator]:
    """Draw the frames and rotations of one step; they depend only on seed and step, so resuming changes nothing."""
    draw = random.Random(settings.seed * 1_000_003 + step)
    chosen, edges = [], 0
    while edges < settings.edges_per_batch:
        chosen.append(draw.choice(graphs))
        edges += len(chosen[-1].senders)
    return chosen, torch.Generator().manual_seed(draw.getrandbits(40))


def _initialise(network: Orb, seed: int) -> None:
    """Initialise matrices uniformly within sqrt(3 / inputs) and biases to zero, instead of torch's defaults."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.named_parameters():
        if weight.ndim == 2 and min(weight.shape) > 1:
            bound = (3.0 / weight.shape[1]) ** 0.5
            torch.nn.init.uniform_(weight, -bound, bound, generator=generator)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)


def _update_average(average: Orb, network: Orb, step: int) -> None:
    """Update the average; it follows the network closely at first, so that the random start is soon forgotten."""
    decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1.0 - decay)


def _save(path: Path, network: Orb, average: Orb, optimizer: MixedOptimizer, step: int) -> None:
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    with replace_file(path) as partial:
        torch.save(state, partial)


def _resume(path: Path, network: Orb, average: Orb, optimizer: MixedOptimizer) -> int:
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    _log.info("going on from step %d", state["step"])
    return state["step"]


def iterate_errors(network: Orb, graphs: Sequence[LabelledGraph]) -> Iterator[tuple[LabelledGraph, Tensor, float]]:
    """Yield for every graph its force errors (N, 3) [eV/Å] and its energy error [eV/atom]."""
    for graph in graphs:
        batch = join_graphs([graph])
        prediction = network(batch.graph, frozenset({"energy", "forces"}))
        energy = (prediction.energy - batch.energies).item() / len(graph.atomic_numbers)
        yield graph, prediction.forces.detach() - batch.forces, energy


def fit_reference_energies(frames: Sequence[Frame]) -> tuple[np.ndarray, float, float]:
    """Return least-squares energies per element (118,) [eV], and mean and deviation of the residual per atom [eV]."""
    counts = np.stack([np.bincount(frame.atomic_numbers, minlength=REFERENCE_ELEMENTS) for frame in frames])
    energies = np.array([frame.energy for frame in frames])
    sizes = counts.sum(axis=1)
    present = counts.any(axis=0)
    reference = np.zeros(REFERENCE_ELEMENTS)
    # Few compositions leave the elements nearly dependent: a light ridge keeps the fit from splitting hairs.
    scaled = counts[:, present] / sizes[:, None]
    gram = scaled.T @ scaled + 1e-6 * np.eye(present.sum())
    reference[present] = np.linalg.solve(gram, scaled.T @ (energies / sizes))
    residual = (energies - counts @ reference) / sizes
    return reference, float(residual.mean()), float(residual.std())


def force_scale(frames: Sequence[Frame]) -> float:
    """Return the root mean square force component [eV/Å]."""
    return float(np.sqrt(np.concatenate([frame.labels.forces.ravel() ** 2 for frame in frames]).mean()))


def set_statistics(network: Orb, frames: Sequence[Frame], energy_deviation: float = 0.1) -> None:
    """Write reference energies, normalisers and confidence bins into the network.

    energy_deviation: [eV/atom], scale of the pooled energy head; the deviation of the residual is far too small for
        forces, which are gradients of the energy
    """
    reference, mean, _ = fit_reference_energies(frames)
    network.get_buffer("heads.energy.reference.linear.weight").copy_(torch.from_numpy(reference))
    network.get_buffer("heads.energy.normalizer.bn.running_mean").fill_(mean)
    network.get_buffer("heads.energy.normalizer.bn.running_var").fill_(energy_deviation**2)
    if isinstance(network, DirectOrb):
        network.get_buffer("heads.forces.normalizer.bn.running_var").fill_(force_scale(frames) ** 2)
    bins = network.get_buffer("heads.confidence.bin_edges")
    bins.copy_(torch.linspace(0.0, MAX_CONFIDENCE_ERROR, len(bins)))
