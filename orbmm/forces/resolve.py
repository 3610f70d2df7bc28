"""Resolve once what a force needs of a model: record, force kind, device, execution, weights."""

from __future__ import annotations

import dataclasses
import logging
import sys
from dataclasses import dataclass
from functools import cached_property

import torch

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.checkpoints.store import WeightsFile, locate_weights
from orbmm.errors import ModelError
from orbmm.forces.kinds import ForceKind, choose_force_kind, list_force_kinds
from orbmm.model.compiled import find_compiler, has_python_headers, has_temporary_room
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.load import check_execution
from orbmm.model.precision import find_device, find_precision
from orbmm.settings.model import NO_DISPERSION, ModelSettings

_LOG = logging.getLogger(__name__)

STEPS_WORTH_COMPILING = 5_000
"""Shorter runs are not compiled; the smallest box takes some minutes for this many steps."""

ATOMS_WORTH_COMPILING = 3_000
"""Compiled code computes all edges at once, so its memory grows with the box; larger boxes were not measured."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model with nothing left open, made once and handed down.

    settings: complete, as a run saves them; record: of the catalogue; device: on which the network computes, but for
    "auto", where a force on OpenMM's CUDA platform follows its GPU
    """

    settings: ModelSettings
    record: CheckpointRecord
    kind: ForceKind
    device: torch.device
    execution: Execution

    @cached_property
    def weights(self) -> WeightsFile:
        """The weights file, downloaded when it is first asked for: after all checks that need no weights."""
        return locate_weights(self.record, self.settings.weights)


def resolve_model(model: ModelSettings | ResolvedModel, atoms: int = 0, steps: int | None = None) -> ResolvedModel:
    """Return the model with everything resolved that its settings leave open; a resolved one is returned as it is.

    atoms, steps: of a run that begins, for which compilation and, on a GPU, edges_per_block are chosen. Both change
    the rounding, and the free memory of a GPU varies, so a resumed run must not choose them again: None.
    Raises ModelError for an unknown model or an impossible execution, DeviceError, ForceError.
    """
    if isinstance(model, ResolvedModel):
        return model
    record, device = find_record(model.name), find_device(model.device)
    check_dispersion(record, model.dispersion)
    kind = choose_force_kind(model.force, list_force_kinds())
    if steps is not None:
        compiled = resolve_compile(model, record, device, atoms, steps)
        block = model.edges_per_block if compiled else _resolve_block(model, record, device)
        model = dataclasses.replace(model, compile=compiled, edges_per_block=block)
    execution = Execution.from_settings(model)
    check_execution(execution, find_precision(model.precision), device)
    return ResolvedModel(model, record, kind, device, execution)


def check_dispersion(record: CheckpointRecord, dispersion: str) -> None:
    """Raise ModelError if a dispersion is added to a model that has one, or whose method it was not fitted to."""
    if dispersion != NO_DISPERSION and not record.dispersion.startswith("none"):
        raise ModelError(
            f'{record.name} has dispersion already ({record.level_of_theory}): remove dispersion = "{dispersion}", '
            "which would count it twice"
        )


def _resolve_block(model: ModelSettings, record: CheckpointRecord, device: torch.device) -> int | None:
    if model.edges_per_block is not None or device.type == "cpu":
        return model.edges_per_block
    return MemoryUse().choose_block(record.architecture, device)


def resolve_compile(
    model: ModelSettings, record: CheckpointRecord, device: torch.device, atoms: int, steps: int
) -> bool:
    """Return whether to compile: what the settings say, or if they leave it open, whether it makes the run shorter.

    It does so for the embedded networks on a CPU, in runs long enough to save more than the minute that compilation
    takes; see docs/performance.md. Logs one line if only a compiler or Python's headers are missing.
    """
    if model.compile is not None:
        return model.compile
    if sys.platform != "linux" or not _is_worth_it(
        model, record, device, atoms, steps
    ):  # torch's compiler: tested on Linux only
        return False
    if find_compiler() is None or not has_python_headers() or not has_temporary_room():
        _LOG.info(
            "with a C++ compiler (g++ will do), Python's headers and room in the temporary folder %s would take up to "
            "twice as many steps a second",
            model.name,
        )
        return False
    _LOG.info("compile = true: in %d steps %s gains more time than compilation takes", steps, model.name)
    return True


def _is_worth_it(model: ModelSettings, record: CheckpointRecord, device: torch.device, atoms: int, steps: int) -> bool:
    """Return True if compilation saves time for this network, device and length, and the settings do not exclude it."""
    has_other_choice = (
        model.kernels == "triton" or model.cuda_graphs or model.memory != "auto" or model.edges_per_block is not None
    )
    return (
        not has_other_choice
        and find_precision(model.precision).operands is None
        and record.file is not None
        and steps >= STEPS_WORTH_COMPILING
        and atoms <= ATOMS_WORTH_COMPILING
        and device.type == "cpu"
    )
