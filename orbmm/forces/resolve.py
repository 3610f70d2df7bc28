"""Resolve the model settings that were left open, once per run; the choice is saved in settings.toml."""

from __future__ import annotations

import dataclasses
import logging
import sys

from orbmm.checkpoints.catalog import find_record
from orbmm.model.compiled import find_compiler, has_python_headers
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.precision import find_device, find_precision
from orbmm.settings.model import ModelSettings

_LOG = logging.getLogger(__name__)

STEPS_WORTH_COMPILING = 5_000
"""Shorter runs are not compiled; the smallest box takes some minutes for this many steps."""

ATOMS_WORTH_COMPILING = 3_000
"""Compiled code computes all edges at once, so its memory grows with the box; larger boxes were not measured."""


def resolve_model(model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
    """Return the settings with compilation and, on a GPU, edges_per_block resolved for this number of atoms and steps.

    Both change the rounding, and the free memory of a GPU varies, so a resumed run must not resolve them again.
    """
    compiled = resolve_compile(model, atoms, steps)
    block = model.edges_per_block if compiled else _resolve_block(model)
    return dataclasses.replace(model, compile=compiled, edges_per_block=block)


def _resolve_block(model: ModelSettings) -> int | None:
    device = find_device(model.device)
    if model.edges_per_block is not None or device.type == "cpu":
        return model.edges_per_block
    return MemoryUse().choose_block(find_record(model.name).architecture, device)


def resolve_compile(model: ModelSettings, atoms: int, steps: int) -> bool:
    """Return whether to compile: what the settings say, or if they leave it open, whether it makes the run shorter.

    It does so for the embedded networks on a CPU, in runs long enough to save more than the minute that compilation
    takes; see docs/performance.md. Logs one line if only a compiler or Python's headers are missing.
    """
    if model.compile is not None:
        return model.compile
    if sys.platform != "linux" or not _is_worth_it(model, atoms, steps):  # torch's compiler: tested on Linux only
        return False
    if find_compiler() is None or not has_python_headers():
        _LOG.info(
            "with a C++ compiler (g++ will do) and Python's headers %s would take up to twice as many steps a second",
            model.name,
        )
        return False
    _LOG.info("compile = true: in %d steps %s gains more time than compilation takes", steps, model.name)
    return True


def _is_worth_it(model: ModelSettings, atoms: int, steps: int) -> bool:
    """Return True if compilation saves time for this network, device and length, and the settings do not exclude it."""
    has_other_choice = (
        model.kernels == "triton" or model.cuda_graphs or model.memory != "auto" or model.edges_per_block is not None
    )
    return (
        not has_other_choice
        and find_precision(model.precision).operands is None
        and find_record(model.name).file is not None
        and steps >= STEPS_WORTH_COMPILING
        and atoms <= ATOMS_WORTH_COMPILING
        and find_device(model.device).type == "cpu"
    )
