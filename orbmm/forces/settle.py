"""What settings of a model leave open is decided once for a run, and stands in its settings from then on."""

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
"""Some minutes of the smallest box."""

ATOMS_WORTH_COMPILING = 3_000
"""Compiled code works on all edges at once, and so its memory grows with the box; larger ones were not measured."""


def settle_model(model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
    """The settings with compilation and, on a GPU, the size of a block decided for a run of so many atoms and steps.

    Both change the rounding, and a GPU's free memory is another each time: a resumed run must not decide anew.
    """
    compiled = decide_compile(model, atoms, steps)
    block = model.edges_per_block if compiled else _decide_block(model)
    return dataclasses.replace(model, compile=compiled, edges_per_block=block)


def _decide_block(model: ModelSettings) -> int | None:
    device = find_device(model.device)
    if model.edges_per_block is not None or device.type == "cpu":
        return model.edges_per_block
    return MemoryUse().choose_block(find_record(model.name).architecture, device)


def decide_compile(model: ModelSettings, atoms: int, steps: int) -> bool:
    """What the settings say, or, where they leave it open, whether compiling pays in a run of so many steps.

    It does for the small networks of the package on a CPU, in runs that win back the minute which translation takes; see
    docs/performance.md. A run where it would, but for a compiler, is told so.
    """
    if model.compile is not None:
        return model.compile
    if sys.platform != "linux" or not _is_worth_it(model, atoms, steps):  # elsewhere torch's compiler was not tried
        return False
    if find_compiler() is None or not has_python_headers():
        _LOG.info(
            "with a C++ compiler (g++ will do) and Python's headers %s would take up to twice as many steps a second",
            model.name,
        )
        return False
    _LOG.info("compile = true: in %d steps %s gains more than translation takes", steps, model.name)
    return True


def _is_worth_it(model: ModelSettings, atoms: int, steps: int) -> bool:
    """By network, device and length, and only where nothing was asked for that a compiled network does not do."""
    asks_for_more = (
        model.kernels == "triton" or model.cuda_graphs or model.memory != "auto" or model.edges_per_block is not None
    )
    return (
        not asks_for_more
        and find_precision(model.precision).operands is None
        and find_record(model.name).file is not None
        and steps >= STEPS_WORTH_COMPILING
        and atoms <= ATOMS_WORTH_COMPILING
        and find_device(model.device).type == "cpu"
    )
