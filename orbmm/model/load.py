"""Load a model by name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import ModelError
from orbmm.model.assemble import assemble_network
from orbmm.model.compiled import compile_network
from orbmm.model.device import find_device
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision


def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32-high",
    memory: MemoryUse | None = None,
    compile: bool = False,
) -> Potential:
    """Load a model of the catalogue.

    name: see orbmm.list_models(); weights: a local checkpoint file instead of the published one
    device: None or "auto", "cpu", "cuda", "cuda:N"; precision: see orbmm.model.precision.list_precisions
    memory: how it trades memory for time; None for what suits device and free memory
    compile: translate the network to machine code at its first evaluation; see orbmm.model.compiled
    Raises ModelError, CheckpointError or DeviceError, each with what to do.
    """
    record = find_record(name)
    arithmetic = find_precision(precision)
    place = find_device(device)
    file = locate_weights(record, None if weights is None else Path(weights))
    network = assemble_network(record, read_state_dict(file.path)).to(place, arithmetic.dtype)
    if compile and arithmetic.operands is not None:
        raise ModelError(
            f"a compiled network does not round to {precision}: choose another precision, or not to compile"
        )
    engine = Engine(network, arithmetic, memory or MemoryUse(), place)
    potential = Potential(record, network, file.sha256, place, arithmetic, engine=engine)
    return compile_network(potential) if compile else potential
