"""The candidates: which settings of a model are open, and the values of them that are measured."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from orbmm.errors import ModelError
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import FEWEST_EDGES_PER_BLOCK
from orbmm.settings.model import TRITON_KERNELS, ModelSettings

OPEN: dict[str, Any] = {
    "threads": None,
    "compile": None,
    "kernels": "auto",
    "cuda_graphs": None,
    "edges_per_block": None,
}
"""Settings that a measurement may decide, with the value that leaves them open."""

SMALLER_BLOCKS = (2, 4, 8)  # the block of the device is divided by these
THREADS_VARIABLE = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Stage:
    """Candidates that differ in some settings, compared on top of the best of the stages before.

    keys: the settings; changes: their values in each candidate, first those that are taken without a measurement
    """

    keys: tuple[str, ...]
    changes: tuple[dict[str, Any], ...]


def find_open(settings: ModelSettings) -> frozenset[str]:
    """Return the settings that are left open. $OMP_NUM_THREADS decides the threads as a setting does."""
    found = {name for name, value in OPEN.items() if getattr(settings, name) == value}
    return frozenset(found - {"threads"} if os.environ.get(THREADS_VARIABLE) else found)


def find_fixed(settings: ModelSettings) -> dict[str, Any]:
    """Return the fields of the execution that the user has decided, which make another measurement."""
    left_open = find_open(settings)
    fixed = {each.name: getattr(settings, each.name) for each in fields(Execution) if each.name not in left_open}
    if "threads" in fixed and fixed["threads"] is None:
        fixed["threads"] = torch.get_num_threads()
    return fixed


def list_stages(left_open: frozenset[str], device: torch.device, block: int, may_compile: bool) -> list[Stage]:
    """Return the stages of a measurement on this device.

    block: the edges of a block that the device takes by itself; may_compile: False where a compilation takes too long
    """
    compiled = may_compile and "compile" in left_open and sys.platform == "linux"  # torch's compiler: tested there only
    if device.type == "cpu":
        stages = [Stage(("threads",), tuple({"threads": count} for count in list_threads()))]
        if compiled:
            alone = ({"compile": True, "threads": 1},) if len(list_threads()) > 1 else ()  # seldom as the plain network
            stages.append(Stage(("compile",), ({"compile": False}, {"compile": True}, *alone)))
    else:
        kernels = TRITON_KERNELS if "kernels" in left_open else ()
        graphs = (False, True) if "cuda_graphs" in left_open else (False,)
        ways = [{"kernels": name, "cuda_graphs": on} for on in graphs for name in ("torch", *kernels)]
        ways += [{"compile": True, "kernels": "torch"}] if compiled else []
        stages = [Stage(("kernels", "cuda_graphs", *(("compile",) if compiled else ())), tuple(ways))]
        smaller = [block // part for part in SMALLER_BLOCKS]
        blocks = [None, *(edges for edges in smaller if edges >= FEWEST_EDGES_PER_BLOCK)]
        stages.append(Stage(("edges_per_block",), tuple({"edges_per_block": edges} for edges in blocks)))
    return [kept for kept in (_drop_decided(stage, left_open) for stage in stages) if len(kept.changes) > 1]


def _drop_decided(stage: Stage, left_open: frozenset[str]) -> Stage:
    """Return a stage without the settings that the user has decided."""
    changes = [{name: value for name, value in change.items() if name in left_open} for change in stage.changes]
    unique = [change for place, change in enumerate(changes) if change and change not in changes[:place]]
    return Stage(tuple(name for name in stage.keys if name in left_open), tuple(unique))


def list_threads() -> list[int]:
    """Return the numbers of threads to measure: all that torch takes here, then powers of two down to one."""
    most = torch.get_num_threads()
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power < most)}, reverse=True)


def list_candidates(base: Execution, stage: Stage) -> list[Execution]:
    """Return the executions of a stage, without those whose settings exclude each other."""
    found = []
    for change in stage.changes:
        with suppress(ModelError):
            found.append(replace(base, **change))
    return found
