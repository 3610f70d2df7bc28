"""Trace a step of dynamics on the stand-in GPU of the tests: every operator, with bytes, FLOPs, waits and live memory.

The graph is computed with real numbers. Wide arrays of the network are not: only their shapes matter here, so 100,000
atoms can be traced on a laptop. `roofline.py` turns a trace into a predicted time.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from oracles.stand_in_gpu import device as stand_in
from oracles.stand_in_gpu.operators import NOTHING_LAUNCHED, Call, Operators, list_tensors
from oracles.stand_in_gpu.runtime import Recording

WIDE_NUMBERS, WIDE_COLUMNS = 1_000_000, 8  # floating arrays beyond both are traced by their shape alone,
EXACT = torch.float64  # but for those of the graph and the heads
ALLOCATING = NOTHING_LAUNCHED - {"_unsafe_view", "lift_fresh"}
WRITE_ONLY = {"copy_", "fill_", "zero_"}  # the old contents of their first argument are not read


@dataclass(frozen=True)
class Event:
    """One operator, or one wait of the host.

    operator: its name; moved: bytes read and written; flops: of matrix products, otherwise 0
    dtype: of the numbers it works on; waits: the host needs its result; recorded: launched as part of a recording
    fused: one of the kernels of the fused edge update
    """

    operator: str
    moved: int = 0
    flops: int = 0
    dtype: str = ""
    waits: bool = False
    recorded: bool = False
    fused: bool = False


class Trace(Operators):
    """Operators that are listed one by one; those on wide arrays of floating numbers compute nothing.

    events: in their order; live, peak: bytes of all arrays made so far that still exist, now and at most
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.captured: dict[int, list[Event]] = {}
        self.live = self.peak = 0
        super().__init__()

    def wait(self, reason: str) -> None:
        """Note a wait of the host."""
        super().wait(reason)
        self.events.append(Event(reason, waits=True))

    def note(self, event: Event) -> None:
        """List the launch of a kernel that is not one of torch's operators."""
        if self.recording is not None:
            self.captured.setdefault(id(self.recording), []).append(event)
        else:
            self.events.append(event)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        before = len(self.events)
        wide = _is_wide(func, args, kwargs)
        if name in ALLOCATING:
            return self._allocate(func, args, kwargs)
        result = self._imagine(func, args, kwargs) if wide else super().__torch_dispatch__(func, types, args, kwargs)
        for array in list_tensors(result):
            self._keep_account(array)
        if name in NOTHING_LAUNCHED or _shares_memory(func):
            return result
        event = Event(name, _count_bytes(name, args, kwargs, result), _count_flops(name, args), _find_dtype(args))
        if self.recording is not None:
            self.note(event)
        else:
            waited = len(self.events) > before  # noted by wait(), which knows no bytes
            self.events[before:] = [replace(event, waits=waited)]
        return result

    def _allocate(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return what an operator allocates, filled with zeros: wide arrays are never written."""
        asked = func(*args, **kwargs)
        if asked.untyped_storage().nbytes() == 0:
            return asked
        result = _make_zeros(asked.shape, asked.dtype)
        if self.recording is not None:
            self.recording.append(Call(func, (), {}, (), runs=False))
        self._keep_account(result)
        return result

    def _imagine(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return zeros of the shapes that the operator would give; memory that nobody writes to costs nothing."""
        name = func.overloadpacket.__name__
        if self.recording is not None:
            self.recording.append(Call(func, (), {}, (), runs=False))
        if "out" in kwargs:
            return kwargs["out"]
        if name.endswith("_"):
            return args[0]
        if "embedding_bag" in name:
            values, _, starts = args[:3]
            return _make_zeros((len(starts) - 1, values.shape[1]), values.dtype), *(torch.empty(0) for _ in range(3))
        shapes = func(*tree_map(_to_meta, args), **{**tree_map(_to_meta, kwargs), **_on_meta(kwargs)})
        return tree_map(lambda each: _make_zeros(each.shape, each.dtype) if isinstance(each, Tensor) else each, shapes)

    def _keep_account(self, array: Tensor) -> None:
        """Add the memory of an array to what is live, until it is freed."""
        storage = array.untyped_storage()
        if storage.nbytes() and not getattr(storage, "_accounted", False):
            storage._accounted = True
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, number: int) -> None:
        self.live -= number


@contextmanager
def trace_gpu() -> Iterator[Trace]:
    """Let torch see a GPU in a `with` block, and yield the trace of what it is asked to do."""
    held: list[Trace] = []

    def begin() -> Trace:
        held.append(Trace())
        return held[0]

    replay = Recording.replay

    def replay_and_note(recording: Recording) -> None:
        trace = held[0]
        trace.events.append(Event("replay"))
        trace.events += [replace(event, recorded=True) for event in trace.captured[id(recording.calls)]]
        replay(recording)

    patches = patch.object(stand_in, "Operators", begin), patch.object(Recording, "replay", replay_and_note)
    with patches[0], patches[1], stand_in.stand_in_gpu():
        yield held[0]


def _is_wide(func: Any, args: tuple, kwargs: dict[str, Any]) -> bool:
    if _shares_memory(func):
        return False
    sizes = [each for each in list_tensors((args, kwargs)) if each.is_floating_point() and each.dtype != EXACT]
    if any(each.numel() > WIDE_NUMBERS and each.dim() > 1 and each.shape[-1] > WIDE_COLUMNS for each in sizes):
        return True
    if "empty" in func.overloadpacket.__name__:
        return False
    return func.overloadpacket.__name__ in ("mul", "index_select", "index") and _makes_wide(args)


def _makes_wide(args: tuple) -> bool:
    """Return True if operands that are small themselves are spread over a wide array."""
    floating = [each for each in list_tensors(args) if each.is_floating_point() and each.dtype != EXACT]
    if len(floating) == 2:
        shape = torch.broadcast_shapes(*(each.shape for each in floating))
        return len(shape) > 1 and int(np.prod(shape)) > WIDE_NUMBERS and shape[-1] > WIDE_COLUMNS
    indices = [each for each in list_tensors(args) if not each.is_floating_point()]
    if len(floating) == 1 and len(indices) == 1 and floating[0].dim() == 2 and floating[0].shape[1] > WIDE_COLUMNS:
        return len(indices[0]) * floating[0].shape[1] > WIDE_NUMBERS
    return False


def _shares_memory(func: Any) -> bool:
    returned = [each.alias_info for each in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)


def _make_zeros(shape: Any, dtype: torch.dtype) -> Tensor:
    numbers = int(np.prod(shape)) * dtype.itemsize
    return torch.from_numpy(np.zeros(numbers, dtype=np.uint8)).view(dtype).view(tuple(shape))


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _on_meta(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"device": "meta"} if kwargs.get("device") is not None else {}


def _count_bytes(name: str, args: tuple, kwargs: dict[str, Any], result: Any) -> int:
    read = [*list_tensors(args), *list_tensors([value for key, value in kwargs.items() if key != "out"])]
    moved = sum(each.nbytes for each in (*read, *list_tensors(result)))
    if name in ("index_select", "index", "gather"):  # of the table, no more than is taken
        taken = sum(each.nbytes for each in list_tensors(result))
        moved += min(0, taken - read[0].nbytes)
    return moved - (read[0].nbytes if name in WRITE_ONLY else 0)


def _count_flops(name: str, args: tuple) -> int:
    if name not in ("mm", "addmm", "bmm", "mv", "addmv"):
        return 0
    left, right = [each for each in list_tensors(args)][-2:]
    return 2 * left.numel() * (right.shape[-1] if right.dim() > 1 else 1)


def _find_dtype(args: tuple) -> str:
    return next((str(each.dtype).removeprefix("torch.") for each in list_tensors(args)), "")
