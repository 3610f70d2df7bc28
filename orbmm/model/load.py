"""Load a model by its name: build its network from the catalogue, fill it from the weights file, prove the weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.proof import EMBEDDED, OWN_WEIGHTS, WeightsProof, find_proof, keep_proof
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.checkpoints.state_dict import audit_state_dict, check_cutoff, read_state_dict
from orbmm.checkpoints.store import WeightsFile, is_published, locate_weights
from orbmm.errors import CheckpointError, ModelError
from orbmm.graph.search.choose import check_search
from orbmm.model.compiled import check_compilable, compile_network
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.replay import Replay, check_recordable
from orbmm.model.network.orb import ConservativeOrb, DirectOrb, Orb
from orbmm.model.potential import Potential
from orbmm.model.precision import Precision, find_device, find_precision
from orbmm.model.prove import prove_weights
from orbmm.settings.paths import is_weights_path

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


def check_execution(execution: Execution, precision: Precision, device: torch.device) -> None:
    """Check, before anything is loaded, that this machine can use the chosen kernels, search, recording and compiler.

    Raises ModelError, GraphError, DeviceError or MissingDependency.
    """
    choose_kernels(execution.kernels, device, precision)
    check_search(execution.search, device)
    if execution.cuda_graphs:
        check_recordable(device)
    if execution.compile:
        check_compilable(device, precision)


def check_proof(record: CheckpointRecord, file: WeightsFile, network: Orb | None = None) -> str:
    """Return, in words, how far a weights file is proved; published weights are proved now unless they were before.

    network: with these weights, if it is at hand. The proof of published weights is kept in the cache.
    Raises CheckpointError for published weights that do not reproduce a published value or are inconsistent.
    """
    if record.file is not None:
        return EMBEDDED if file.sha256 == record.sha256 else OWN_WEIGHTS
    if not is_published(record, file.path):
        return OWN_WEIGHTS
    proof = find_proof(record, file.sha256)
    if proof is None:
        network = network or assemble_network(record, read_state_dict(file.path))
        proof = prove_weights(record, network, file.sha256)
        _require_passed(proof, file.path)
        keep_proof(proof)
        _log_proof(proof)
    return proof.verdict


def _require_passed(proof: WeightsProof, path: Path) -> None:
    failed = next((check for check in proof.checks if check.passed is False), None)
    if failed is None:
        return
    numbers = "" if failed.difference is None else f" off by {failed.difference:.1e}, allowed {failed.allowed:.1e};"
    remark = f" {failed.remark};" if failed.remark else ""
    raise CheckpointError(
        f"{path} does not hold the published weights of {proof.model} ({failed.what}:{numbers}{remark}".rstrip(";")
        + "): delete it to download it again, or give it another name, as weights=, to use it unchecked"
    )


def _log_proof(proof: WeightsProof) -> None:
    _log.info("%s: weights %s, in %.1f s:", proof.model, proof.verdict, proof.seconds)
    for check in proof.checks:
        numbers = "" if check.difference is None else f" off by {check.difference:.1e}, allowed {check.allowed:.1e}"
        _log.info("  %s: %s%s %s", check.what, "passed" if check.passed else "left out", numbers, check.remark)


@torch.inference_mode(False)
def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32-high",
    execution: Execution | None = None,
) -> Potential:
    """Load a model of the catalogue, or the network of a weights file that holds its own record.

    name: see orbmm.list_models(); or the path of a .safetensors file with its own record
    weights: a local weights file instead of the published one; with the name "orbmm", whatever network the file holds
    device: None or "auto", "cpu", "cuda", "cuda:N"; precision: see orbmm.model.precision
    execution: memory, kernels, compilation, CUDA graphs and search; None for the defaults
    Raises ModelError, CheckpointError or DeviceError.
    """
    if not isinstance(name, str):
        raise ModelError(f"a model is chosen by its name, got {type(name).__name__}: give a file as weights=")
    if weights is None and is_weights_path(name):
        weights = name
    record, execution = resolve_record(name, None if weights is None else Path(weights)), execution or Execution()
    arithmetic = find_precision(precision)
    place = find_device(device)
    check_execution(execution, arithmetic, place)
    file = locate_weights(record, None if weights is None else Path(weights))
    network = assemble_network(record, read_state_dict(file.path))
    check_proof(record, file, network)
    network.to(place, arithmetic.dtype)
    engine = Engine(network, arithmetic, execution.memory_use, place, execution.kernels)
    predictor = Replay(engine, record.architecture.cutoff_angstrom, place) if execution.cuda_graphs else engine
    found = (record, network, file.sha256, place, arithmetic)
    potential = Potential(*found, execution.search, predictor, execution.threads)
    return compile_network(potential) if execution.compile else potential
