"""Begin a training: the network that it starts from, and the record of the result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.checkpoints.state_dict import is_known_unused, read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import TrainingError
from orbmm.model.load import assemble_network, make_network
from orbmm.model.network.orb import Orb
from orbmm.settings.training import TrainingSettings
from orbmm.training.data.checks import list_elements
from orbmm.training.data.frames import Frame
from orbmm.training.start.statistics import set_statistics

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
    """Initialise matrices uniformly within sqrt(3 / inputs), biases to zero, frequencies of a charge normally.

    At frequencies of zero, as the network is built, no training could learn what a charge does.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.named_parameters():
        if weight.ndim == 2 and min(weight.shape) > 1:
            bound = (3.0 / weight.shape[1]) ** 0.5
            torch.nn.init.uniform_(weight, -bound, bound, generator=generator)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)
        elif name.endswith("_embedding.W"):
            torch.nn.init.normal_(weight, generator=generator)
