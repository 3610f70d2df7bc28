"""Record the work of a GPU on one shape of graph and repeat it: one launch in place of hundreds (CUDA graphs).

Edges are padded to a ladder of sizes, so a trajectory needs one or two recordings; each is made when its shape first
occurs.
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
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import Prediction

MOST_RECORDINGS = 4  # the least recently used one is dropped
WARM_UPS = 2  # kernels and libraries allocate at their first use, which must not happen while recording
_LOG = logging.getLogger(__name__)
_CAPTURE = threading.Lock()  # a process can make only one recording at a time
_Holder = TypeVar("_Holder", AtomGraph, Prediction)


FEWEST_EDGES = 1_024
RUNGS_PER_DOUBLING = 16  # above the first rung at most 1/16 of the edges are padding, half of that on average
PADDING_CUTOFFS = 2.0  # length of a padding edge, in cutoffs: beyond every envelope and every pair of covalent radii


def check_recordable(device: torch.device) -> None:
    """Raise DeviceError unless the device is a CUDA device."""
    if device.type != "cuda":
        raise DeviceError(f"CUDA graphs need a CUDA device, got {device}: remove cuda_graphs")


class Replay:
    """An engine that repeats recordings (CUDA graphs). Threads and streams may share it; a lock makes them take turns.

    All recordings share their memory; they are dropped when weights were changed in place.
    Raises DeviceError if the device is not a CUDA device.
    """

    def __init__(self, engine: Engine, cutoff_angstrom: float, device: torch.device) -> None:
        check_recordable(device)
        self._engine, self._cutoff, self._device = engine, cutoff_angstrom, device
        self._lock = threading.Lock()
        self._recordings: OrderedDict[tuple, _Recording] = OrderedDict()
        self._stream, self._memory = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self._done = torch.cuda.Event()  # the last prediction, whichever stream it was on

    def __reduce__(self) -> tuple[type[Replay], tuple[object, ...]]:
        """Make copies from the same arguments: a copy makes recordings of its own."""
        return Replay, (self._engine, self._cutoff, self._device)

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Engine.predict; padding may change the rounding. Raises ModelError if the network cannot be recorded."""
        if self._engine.asks_host(graph):
            raise ModelError(
                "direct forces without a cell cannot be recorded, because removing their net torque needs the host: "
                "remove cuda_graphs"
            )
        padded = pad_edges(graph, climb_ladder(len(graph.senders)), self._cutoff)
        with self._lock, torch.cuda.device_of(graph.vectors), record_function("orbmm: network"):
            torch.cuda.current_stream().wait_event(self._done)
            if self._engine.read_changed_weights():
                self._recordings.clear()
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
        torch.cuda.empty_cache()  # so that memory cached by torch is free for this recording
        keep = self._engine.choose_kept(graph, outputs, torch.cuda.mem_get_info()[0])
        here = torch.cuda.current_stream()
        work = torch.cuda.CUDAGraph()
        with _CAPTURE:
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    self._engine.launch(inputs, outputs, keep)
            here.wait_stream(self._stream)
            # Other threads of OpenMM may continue while this one records.
            with torch.cuda.graph(work, self._memory, self._stream, capture_error_mode="thread_local"):
                results = self._engine.launch(inputs, outputs, keep)
        return _Recording(work, inputs, results)


@dataclass(frozen=True)
class _Recording:
    """A recording, with the arrays that it reads and those that it writes."""

    work: torch.cuda.CUDAGraph
    inputs: AtomGraph
    results: Prediction

    def repeat(self, graph: AtomGraph) -> Prediction:
        """Return the prediction for a graph of the same shape, in new arrays."""
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


def climb_ladder(edges: int) -> int:
    """Return the smallest size of the ladder that holds this many edges.

    The sizes are 1,024, then every 64th number up to 2,048, every 128th up to 4,096, and so on.
    """
    if edges <= FEWEST_EDGES:
        return FEWEST_EDGES
    rung = 2 ** ((edges - 1).bit_length() - 1) // RUNGS_PER_DOUBLING
    return -(-edges // rung) * rung


def pad_edges(graph: AtomGraph, edges: int, cutoff_angstrom: float) -> AtomGraph:
    """Return the graph with padding edges added, up to this number of edges.

    A padding edge leads from an atom to itself; they are spread evenly over the atoms. They are so long that their
    envelope and its gradient, and so all their contributions, are exactly zero. Their features are computed like those
    of any other edge, so this holds unless a number overflows.
    """
    missing = edges - len(graph.senders)
    if missing <= 0:
        return graph
    atoms = torch.arange(missing, device=graph.senders.device) % len(graph.atomic_numbers)  # (missing,)
    vectors = graph.vectors.new_zeros(missing, 3)
    vectors[:, 0] = PADDING_CUTOFFS * cutoff_angstrom
    return replace(
        graph,
        senders=torch.cat([graph.senders, atoms]),
        receivers=torch.cat([graph.receivers, atoms]),
        vectors=torch.cat([graph.vectors, vectors]),
    )
