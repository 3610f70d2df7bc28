"""A GPU's work on one shape of graph, recorded once and then repeated: one launch in place of hundreds.

Edges are padded to a ladder of sizes, so a trajectory needs a recording or two; each is made when its shape first comes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from orbmm.errors import DeviceError
from orbmm.model.atom_graph import AtomGraph
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.padding import climb_ladder, pad_edges
from orbmm.model.orb import Prediction

MOST_RECORDINGS = 4  # the one that was not used for longest goes
_Holder = TypeVar("_Holder", AtomGraph, Prediction)
WARM_UPS = 2  # what is made at a first use, of kernels and of libraries, must not be made while recording


def check_recordable(device: torch.device) -> None:
    """Raise DeviceError for a device whose work cannot be recorded."""
    if device.type != "cuda":
        raise DeviceError(f"CUDA graphs need a CUDA device, got {device}: leave cuda_graphs out")


class Replay:
    """An engine that repeats recordings (CUDA graphs). Threads may share it: they take turns.

    Structures without a cell are predicted without a recording: removing their net torque asks the host.
    Raises DeviceError where the engine is not on a CUDA device.
    """

    def __init__(self, engine: Engine, cutoff_angstrom: float, device: torch.device) -> None:
        check_recordable(device)
        self._engine, self._cutoff = engine, cutoff_angstrom
        self._lock = threading.Lock()
        self._recordings: OrderedDict[tuple, _Recording] = OrderedDict()

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Engine.predict; padding may change the rounding."""
        if graph.volumes is None:
            return self._engine.predict(graph, outputs)
        padded = pad_edges(graph, climb_ladder(len(graph.senders)), self._cutoff)
        with self._lock, torch.cuda.device_of(graph.vectors):
            prediction = self._find_recording(padded, outputs).repeat(padded)
        self._engine.refuse_overflow(prediction)
        return prediction

    def _find_recording(self, graph: AtomGraph, outputs: AbstractSet[str]) -> _Recording:
        key = (len(graph.senders), len(graph.atomic_numbers), len(graph.counts), frozenset(outputs))
        if key not in self._recordings:
            while len(self._recordings) >= MOST_RECORDINGS:
                self._recordings.popitem(last=False)
            self._recordings[key] = _record(self._engine, graph, outputs)
        self._recordings.move_to_end(key)
        return self._recordings[key]


@dataclass(frozen=True)
class _Recording:
    """What was recorded, the arrays that it reads and those that it writes."""

    work: torch.cuda.CUDAGraph
    inputs: AtomGraph
    results: Prediction

    def repeat(self, graph: AtomGraph) -> Prediction:
        """The prediction for a graph of the same shape, in arrays of its own."""
        for held, given in zip(_list_tensors(self.inputs), _list_tensors(graph), strict=True):
            held.copy_(given)
        self.work.replay()
        return _copy_tensors(self.results)


def _record(engine: Engine, graph: AtomGraph, outputs: AbstractSet[str]) -> _Recording:
    inputs = _copy_tensors(graph)
    keep = engine.choose_kept(graph, outputs)
    here = torch.cuda.current_stream()
    aside = torch.cuda.Stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            engine.launch(inputs, outputs, keep)
    here.wait_stream(aside)
    work = torch.cuda.CUDAGraph()
    with torch.cuda.graph(work, capture_error_mode="thread_local"):  # OpenMM's threads may go on
        results = engine.launch(inputs, outputs, keep)
    return _Recording(work, inputs, results)


def _list_tensors(holder: AtomGraph | Prediction) -> list[Tensor]:
    values = (getattr(holder, field.name) for field in fields(holder))
    return [value for value in values if value is not None]


def _copy_tensors(holder: _Holder) -> _Holder:
    named = {field.name: getattr(holder, field.name) for field in fields(holder)}
    return replace(holder, **{name: value.clone() for name, value in named.items() if value is not None})
