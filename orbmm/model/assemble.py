"""Build a network from a catalogue record and a state dict; every weight comes from the file."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.state_dict import audit_state_dict, check_cutoff
from orbmm.errors import CheckpointError
from orbmm.model.network.orb import ConservativeOrb, DirectOrb, Orb

OPTIONAL_HEADS = ("confidence", "stress")
"""Outputs that dynamics at constant volume does not need. A file without them is loaded with a warning."""

_log = logging.getLogger(__name__)


def make_network(record: CheckpointRecord) -> Orb:
    """Return the network of a record, randomly initialised; the random state of the caller does not change."""
    kind = DirectOrb if record.kind == "direct" else ConservativeOrb
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # whatever the default device is
        return kind(record.architecture, record.oddities)


def assemble_network(record: CheckpointRecord, state_dict: Mapping[str, Tensor]) -> Orb:
    """Build the network of a record and fill it from an official state dict, of which every tensor is checked.

    Returns the network in evaluation mode, without gradients for its weights.
    Raises CheckpointError for a tensor that is missing, has another shape or an unknown name.
    """
    network = make_network(record)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    optional = {name: shape for name, shape in shapes.items() if _head_of(name) in OPTIONAL_HEADS}
    required = {name: shape for name, shape in shapes.items() if name not in optional}
    try:
        audit = audit_state_dict(state_dict, required, optional)
        check_cutoff(audit.used, record.architecture.cutoff_angstrom)
    except CheckpointError as error:
        raise CheckpointError(f"{record.name}: {error}") from error
    for head in sorted({_head_of(name) for name in optional.keys() - audit.used.keys()}):
        _log.warning("%s: the weights file has no %s head, so the model gives no %s", record.name, head, head)
        del network.heads[head]
    network.load_state_dict(audit.used, strict=True)
    return network.eval().requires_grad_(False)


def _head_of(name: str) -> str:
    return name.split(".")[1] if name.startswith("heads.") else ""
