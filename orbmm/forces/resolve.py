"""Resolve once what a force needs of a model: record, force kind, device, execution, weights."""

from __future__ import annotations

import dataclasses
import logging
import sys
from dataclasses import dataclass
from functools import cached_property

import openmm
import torch

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.checkpoints.store import WeightsFile, locate_weights
from orbmm.errors import ModelError
from orbmm.forces.kinds import ForceKind, choose_force_kind, list_force_kinds
from orbmm.model.compiled import find_compiler, has_python_headers, has_temporary_room
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.load import check_execution
from orbmm.model.precision import find_device, find_precision, is_unnumbered
from orbmm.settings.model import NO_DISPERSION, TRITON_KERNELS, ModelSettings
from orbmm.settings.paths import OWN_NAME

_LOG = logging.getLogger(__name__)

STEPS_WORTH_COMPILING = 5_000
"""Shorter runs are not compiled; the smallest box takes some minutes for this many steps."""

ATOMS_WORTH_COMPILING = 3_000
"""Compiled code computes all edges at once, so its memory grows with the box; larger boxes were not measured."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model with nothing left open, made once and handed down.

    settings: complete, as a run saves them; record: of the catalogue; device: on which the network computes; a
    GPU has no number as long as OpenMM has yet to choose among several
    """

    settings: ModelSettings
    record: CheckpointRecord
    kind: ForceKind
    device: torch.device
    execution: Execution

    @cached_property
    def fast(self) -> ResolvedModel | None:
        """The direct model of multiple time steps, carried out as this one is but without dispersion, or None."""
        if self.settings.fast is None:
            return None
        return resolve_model(
            dataclasses.replace(
                self.settings, name=self.settings.fast, weights=None, fast=None, dispersion=NO_DISPERSION
            )
        )

    @cached_property
    def weights(self) -> WeightsFile:
        """The weights file, downloaded when it is first asked for: after all checks that need no weights."""
        return locate_weights(self.record, self.settings.weights)


def resolve_model(
    model: ModelSettings | ResolvedModel, atoms: int = 0, steps: int | None = None, card: torch.device | None = None
) -> ResolvedModel:
    """Return the model with everything resolved that its settings leave open; a resolved one is returned as it is.

    atoms, steps: of a run that begins, for which compilation and, on a GPU, edges_per_block are chosen. Both change
    the rounding, and the free memory of a GPU varies, so a resumed run must not choose them again: None.
    card: the GPU that OpenMM will take; None if that is not known
    Raises ModelError for an unknown model or an impossible execution, DeviceError, ForceError.
    """
    if isinstance(model, ResolvedModel):
        return model
    record, device = resolve_record(model.name, model.weights), find_device(model.device)
    if record.load_name == OWN_NAME:
        model = dataclasses.replace(model, name=OWN_NAME)
    if model.fast is not None:
        check_pair(record, resolve_record(model.fast))
    check_dispersion(record, model.dispersion)
    kind = choose_force_kind(model.force, list_force_kinds())
    device = _number_device(device, kind, card)
    if steps is not None:
        compiled = resolve_compile(model, record, device, atoms, steps)
        block = model.edges_per_block if compiled else _resolve_block(model, record, device)
        model = dataclasses.replace(model, compile=compiled, edges_per_block=block)
    execution = Execution.from_settings(model)
    check_execution(execution, find_precision(model.precision), device)
    return ResolvedModel(model, record, kind, device, execution)


def resolve_for_run(model: ModelSettings, atoms: int, steps: int | None) -> ResolvedModel:
    """Return what resolve_model does, for a run, whose GPU is the one that OpenMM takes by itself."""
    is_open = is_unnumbered(find_device(model.device)) and torch.cuda.device_count() > 1
    return resolve_model(model, atoms, steps, find_openmm_card() if is_open else None)


def find_openmm_card() -> torch.device | None:
    """Return the GPU that OpenMM takes without a DeviceIndex, None if it takes none; a Context is opened to see it."""
    system = openmm.System()
    system.addParticle(1.0)
    try:
        platform = openmm.Platform.getPlatformByName("CUDA")
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    except openmm.OpenMMException:
        return None  # its reason is told when the platform is tried
    return torch.device("cuda", int(platform.getPropertyValue(context, "DeviceIndex")))


def _number_device(device: torch.device, kind: ForceKind, card: torch.device | None) -> torch.device:
    """Return the device with its number, if the GPU of OpenMM is known or makes no difference."""
    if not is_unnumbered(device):
        return device
    if card is not None:
        return card
    # A PythonForce gets its coordinates through NumPy, whichever GPU they come from.
    return torch.device("cuda", 0) if kind.name == "PythonForce" or torch.cuda.device_count() <= 1 else device


def check_pair(slow: CheckpointRecord, fast: CheckpointRecord) -> None:
    """Raise ModelError for two models that multiple time steps cannot combine: they must describe the same energy."""
    if (slow.kind, fast.kind) != ("conservative", "direct"):
        raise ModelError(
            f"multiple time steps take a conservative model with a direct one as fast, got {slow.name} "
            f"({slow.kind}) and {fast.name} ({fast.kind})"
        )
    for what, one, other in (
        ("elements", slow.elements, fast.elements),
        ("total charge", slow.takes_charge, fast.takes_charge),
        ("level of theory", slow.level_of_theory, fast.level_of_theory),
        ("dispersion", slow.dispersion, fast.dispersion),
    ):
        if one != other:
            raise ModelError(f"{fast.name} cannot be the fast model of {slow.name}: they differ in their {what}")


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
        model.kernels in TRITON_KERNELS
        or model.cuda_graphs
        or model.memory != "auto"
        or model.edges_per_block is not None
    )
    return (
        not has_other_choice
        and find_precision(model.precision).operands is None
        and record.file is not None
        and steps >= STEPS_WORTH_COMPILING
        and atoms <= ATOMS_WORTH_COMPILING
        and device.type == "cpu"
    )
