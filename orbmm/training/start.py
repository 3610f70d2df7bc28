"""Begin a training: the network that it starts from, its energies and scales, and the record of the result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.checkpoints.state_dict import is_known_unused, read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import TrainingError
from orbmm.model.load import assemble_network, make_network
from orbmm.model.network.heads import REFERENCE_ELEMENTS
from orbmm.model.network.orb import DirectOrb, Orb
from orbmm.settings.training import TrainingSettings
from orbmm.training.batches import LabelledGraph, join_graphs
from orbmm.training.checks import list_elements
from orbmm.training.dataset import Frame

MAX_CONFIDENCE_ERROR = 0.3  # [eV/Å], upper edge of the last bin, as in the published models
LARGE_SHIFT = 0.5  # [eV/atom]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The network that a training begins with, in training mode, and the record of what it becomes.

    unused: tensors of an official file that inference does not need; orb-models asks for them when it loads the result
    """

    network: Orb
    record: CheckpointRecord
    unused: dict[str, Tensor]


def begin_training(settings: TrainingSettings, base: CheckpointRecord, frames: Sequence[Frame]) -> Start:
    """Return the start of a training, with random weights or those of a file, audited as for inference.

    base: the record of the model whose size, and unless from_scratch its weights, are used
    Raises TrainingError for a penalty that the network cannot have, and the errors of load_model.
    """
    model = settings.model
    if settings.loss.rotation_share and base.kind == "direct":
        raise TrainingError(
            f"rotation_share is {settings.loss.rotation_share:g}, but {base.name} is direct: its forces do not come "
            "from its energy, so set rotation_share = 0"
        )
    unused: dict[str, Tensor] = {}
    if model.from_scratch:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.run.seed)
            network = make_network(base).float()
        initialise_weights(network, settings.run.seed)
        set_statistics(network, frames)
    else:
        state = read_state_dict(locate_weights(base, model.weights).path)
        network = assemble_network(base, state).float()
        unused = {name: tensor for name, tensor in state.items() if is_known_unused(name)}
    return Start(network.requires_grad_(True).train(), _describe_result(settings, base, frames), unused)


def _describe_result(settings: TrainingSettings, base: CheckpointRecord, frames: Sequence[Frame]) -> CheckpointRecord:
    """Return the record that travels with the trained weights."""
    model = settings.model
    elements = set(list_elements(frames)) | (set() if model.from_scratch else set(base.elements))
    elements_shown = describe_elements(list_elements(frames))
    start = "random weights" if model.from_scratch else base.name
    done = f"Trained from {start}" if settings.optimizer.steps else f"Weights of {start}, their confidence refitted"
    return replace(
        base,
        name=model.name,
        aliases=(),
        purpose=model.purpose,
        level_of_theory=model.level_of_theory,
        elements=tuple(sorted(elements)),
        url=None,
        file=None,
        sha256=None,
        dispersion=model.dispersion,
        residues=None,
        bonds=None,
        note=f"{done} on {len(frames)} frames with {elements_shown}.",
    )


def initialise_weights(network: Orb, seed: int) -> None:
    """Initialise matrices uniformly within sqrt(3 / inputs) and biases to zero, instead of torch's defaults."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.named_parameters():
        if weight.ndim == 2 and min(weight.shape) > 1:
            bound = (3.0 / weight.shape[1]) ** 0.5
            torch.nn.init.uniform_(weight, -bound, bound, generator=generator)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)


def refit_references(network: Orb, graphs: Sequence[LabelledGraph]) -> None:
    """Shift the reference energies of the elements so that the network fits the labels best; its scales are kept.

    Labels of another level of theory differ by an energy for each element, which no other weight should have to learn.
    """
    counts = np.stack([_count_elements(graph) for graph in graphs])
    missing = np.array([graph.energy - _predict_energy(network, graph) for graph in graphs])
    shift = solve_composition(counts, missing)
    weight = network.get_buffer("heads.energy.reference.linear.weight")
    weight += torch.from_numpy(shift).to(weight.dtype)
    largest = int(np.abs(shift).argmax())
    if abs(shift[largest]) > LARGE_SHIFT:
        _LOG.info(
            "the labels lie %+.2f eV for each %s from those of the start: its reference energies were shifted",
            shift[largest],
            describe_elements([largest]),
        )


def _count_elements(graph: LabelledGraph) -> np.ndarray:
    return np.bincount(graph.atomic_numbers.numpy(), minlength=REFERENCE_ELEMENTS)


def _predict_energy(network: Orb, graph: LabelledGraph) -> float:
    energy = network(join_graphs([graph]).graph, frozenset({"energy"})).energy
    return float(energy.detach()) if energy is not None else 0.0


def solve_composition(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Return the energy of each element (118,) [eV] that explains the energies (F,) of frames (F, 118) best.

    Few compositions leave the elements nearly dependent: a light ridge keeps the fit from splitting hairs.
    """
    sizes = counts.sum(axis=1)
    present = counts.any(axis=0)
    solved = np.zeros(REFERENCE_ELEMENTS)
    scaled = counts[:, present] / sizes[:, None]
    gram = scaled.T @ scaled + 1e-6 * np.eye(present.sum())
    solved[present] = np.linalg.solve(gram, scaled.T @ (energies / sizes))
    return solved


def fit_reference_energies(frames: Sequence[Frame]) -> tuple[np.ndarray, float]:
    """Return least-squares energies per element (118,) [eV], and the mean of the residual per atom [eV]."""
    counts = np.stack([np.bincount(frame.atomic_numbers, minlength=REFERENCE_ELEMENTS) for frame in frames])
    energies = np.array([frame.labels.energy for frame in frames])
    reference = solve_composition(counts, energies)
    return reference, float(((energies - counts @ reference) / counts.sum(axis=1)).mean())


def compute_force_scale(frames: Sequence[Frame]) -> float:
    """Return the root mean square force component [eV/Å]."""
    return float(np.sqrt(np.concatenate([frame.labels.forces.ravel() ** 2 for frame in frames]).mean()))


def set_statistics(network: Orb, frames: Sequence[Frame], energy_deviation: float = 0.1) -> None:
    """Write reference energies, normalisers and confidence bins into the network.

    energy_deviation: [eV/atom], scale of the pooled energy head; the deviation of the residual is far too small for
        forces, which are gradients of the energy
    """
    reference, mean = fit_reference_energies(frames)
    network.get_buffer("heads.energy.reference.linear.weight").copy_(torch.from_numpy(reference))
    network.get_buffer("heads.energy.normalizer.bn.running_mean").fill_(mean)
    network.get_buffer("heads.energy.normalizer.bn.running_var").fill_(energy_deviation**2)
    if isinstance(network, DirectOrb):
        network.get_buffer("heads.forces.normalizer.bn.running_var").fill_(compute_force_scale(frames) ** 2)
    if "confidence" in network.heads:
        bins = network.get_buffer("heads.confidence.bin_edges")
        bins.copy_(torch.linspace(0.0, MAX_CONFIDENCE_ERROR, len(bins)))
