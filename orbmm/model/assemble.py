"""From a catalogue record and a state dict to a network whose every number came from the file."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.state_dict import audit_state_dict
from orbmm.model.orb import ConservativeOrb, DirectOrb, Orb

_log = logging.getLogger(__name__)


def make_network(record: CheckpointRecord) -> Orb:
    """The network of a record, randomly initialised; the caller's random state is left as it was."""
    kind = DirectOrb if record.kind == "direct" else ConservativeOrb
    with torch.random.fork_rng(devices=[]):
        return kind(record.architecture, record.oddities)


def assemble_network(record: CheckpointRecord, state_dict: Mapping[str, Tensor]) -> Orb:
    """Build the network of a record and fill it from an official state dict, audited to the last tensor.

    Returns it in evaluation mode, without gradients for its weights.
    Raises CheckpointError for a tensor that is missing, of another shape or of unknown name.
    """
    network = make_network(record)
    required = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    audit = audit_state_dict(state_dict, required)
    if audit.extra_heads:
        _log.info("%s: heads in the file that are not used: %s", record.name, ", ".join(audit.extra_heads))
    network.load_state_dict(audit.used, strict=True)
    return network.eval().requires_grad_(False)
