"""Load a model by its name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import ModelError
from orbmm.graph.search.choose import check_search
from orbmm.model.assemble import assemble_network
from orbmm.model.compiled import check_compilable, compile_network
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.replay import Replay, check_recordable
from orbmm.model.potential import Potential
from orbmm.model.precision import Precision, find_device, find_precision


def check_execution(execution: Execution, precision: Precision, device: torch.device) -> None:
    """Check, before anything is loaded, that this machine can use the chosen kernels, search, recording and compiler.

    Raises ModelError, GraphError, DeviceError or MissingDependency.
    """
    choose_kernels(execution.kernels, device)
    check_search(execution.search, device)
    if execution.cuda_graphs:
        check_recordable(device)
    if execution.compile:
        check_compilable(device, precision)


@torch.inference_mode(False)
def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32-high",
    execution: Execution | None = None,
) -> Potential:
    """Load a model of the catalogue.

    name: see orbmm.list_models(); weights: a local weights file instead of the published one
    device: None or "auto", "cpu", "cuda", "cuda:N"; precision: see orbmm.model.precision
    execution: memory, kernels, compilation, CUDA graphs and search; None for the defaults
    Raises ModelError, CheckpointError or DeviceError.
    """
    if not isinstance(name, str):
        raise ModelError(f"a model is chosen by its name, got {type(name).__name__}: give a file as weights=")
    record, execution = find_record(name), execution or Execution()
    arithmetic = find_precision(precision)
    place = find_device(device)
    check_execution(execution, arithmetic, place)
    file = locate_weights(record, None if weights is None else Path(weights))
    network = assemble_network(record, read_state_dict(file.path)).to(place, arithmetic.dtype)
    engine = Engine(network, arithmetic, execution.memory_use, place, execution.kernels)
    predictor = Replay(engine, record.architecture.cutoff_angstrom, place) if execution.cuda_graphs else engine
    potential = Potential(record, network, file.sha256, place, arithmetic, execution.search, predictor)
    return compile_network(potential) if execution.compile else potential
