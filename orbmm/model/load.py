"""Load a model by name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.model.assemble import assemble_network
from orbmm.model.device import find_device
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision


def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32-high",
) -> Potential:
    """Load a model of the catalogue.

    name: see orbmm.list_models(); weights: a local checkpoint file instead of the published one
    device: None or "auto", "cpu", "cuda", "cuda:N"; precision: "float32-high", "float32-highest" or "float64"
    Raises ModelError, CheckpointError or DeviceError, each with what to do.
    """
    record = find_record(name)
    arithmetic = find_precision(precision)
    place = find_device(device)
    file = locate_weights(record, None if weights is None else Path(weights))
    network = assemble_network(record, read_state_dict(file.path))
    return Potential(record, network.to(place, arithmetic.dtype), file.sha256, place, arithmetic)
