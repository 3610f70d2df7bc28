"""A GPU's work on one shape of graph, recorded once and then repeated: one launch in place of hundreds.

Edges are padded to a ladder of sizes, so a trajectory needs a recording or two; each is made when its shape first comes.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import DeviceError, ModelError
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.padding import climb_ladder, pad_edges
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import Prediction

MOST_RECORDINGS = 4  # the one that was not used for longest goes
WARM_UPS = 2  # what is made at a first use, of kernels and of libraries, must not be made while recording
_LOG = logging.getLogger(__name__)
_CAPTURE = threading.Lock()  # a process may record one thing at a time
_Holder = TypeVar("_Holder", AtomGraph, Prediction)


def check_recordable(device: torch.device) -> None:
    """Raise DeviceError for a device whose work cannot be recorded."""
    if device.type != "cuda":
        raise DeviceError(f"CUDA graphs need a CUDA device, got {device}: leave cuda_graphs out")


class Replay:
    """An engine that repeats recordings (CUDA graphs). Threads and streams may share it: they take turns.

    Its recordings share their memory, and see weights that are changed in place, not those that are replaced.
    Raises DeviceError where the engine is not on a CUDA device.
    """

    def __init__(self, engine: Engine, cutoff_angstrom: float, device: torch.device) -> None:
        check_recordable(device)
        self._engine, self._cutoff = engine, cutoff_angstrom
        self._lock = threading.Lock()
        self._recordings: OrderedDict[tuple, _Recording] = OrderedDict()
        self._stream, self._memory = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self._done = torch.cuda.Event()  # the last prediction, whichever stream it was on

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Engine.predict; padding may change the rounding. Raises ModelError for what cannot be recorded."""
        if self._engine.asks_host(graph):
            raise ModelError(
                "direct forces without a cell cannot be recorded, as removing their net torque asks the host: "
                "leave cuda_graphs out"
            )
        padded = pad_edges(graph, climb_ladder(len(graph.senders)), self._cutoff)
        with self._lock, torch.cuda.device_of(graph.vectors), record_function("orbmm: network"):
            torch.cuda.current_stream().wait_event(self._done)
            prediction = self._find_recording(padded, outputs).repeat(padded)
            self._done.record()
        self._engine.refuse_overflow(prediction)
        return prediction

    def _find_recording(self, graph: AtomGraph, outputs: AbstractSet[str]) -> _Recording:
        sizes = (len(graph.senders), len(graph.atomic_numbers), len(graph.counts))
        key = (*sizes, graph.volumes is None, frozenset(outputs))
        if key not in self._recordings:
            _LOG.info("recording the network on %d atoms and %d edges", sizes[1], sizes[0])
            self._recordings[key] = self._record(graph, outputs)
        self._recordings.move_to_end(key)
        if len(self._recordings) > MOST_RECORDINGS:
            self._recordings.popitem(last=False)
        return self._recordings[key]

    def _record(self, graph: AtomGraph, outputs: AbstractSet[str]) -> _Recording:
        inputs = _copy_tensors(graph)
        torch.cuda.empty_cache()  # so that what is free now is free for this recording too
        keep = self._engine.choose_kept(graph, outputs, torch.cuda.mem_get_info()[0])
        here = torch.cuda.current_stream()
        work = torch.cuda.CUDAGraph()
        with _CAPTURE:
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    self._engine.launch(inputs, outputs, keep)
            here.wait_stream(self._stream)
            # OpenMM's threads may go on while this one records.
            with torch.cuda.graph(work, self._memory, self._stream, capture_error_mode="thread_local"):
                results = self._engine.launch(inputs, outputs, keep)
        return _Recording(work, inputs, results)


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


def _list_tensors(holder: AtomGraph | Prediction) -> list[Tensor]:
    values = (getattr(holder, field.name) for field in fields(holder))
    return [value for value in values if value is not None]


def _copy_tensors(holder: _Holder) -> _Holder:
    named = {field.name: getattr(holder, field.name) for field in fields(holder)}
    return replace(holder, **{name: value.clone() for name, value in named.items() if value is not None})
