"""Record the work of a GPU on one shape of graph and repeat it: one launch in place of hundreds (CUDA graphs).

Edges are padded to a ladder of sizes, so a trajectory needs one or two recordings; each is made when its shape first
occurs.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import DeviceError, ModelError
from orbmm.model.inference.engine import Engine
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import Prediction

MOST_RECORDINGS = 8  # the least recently used one is dropped
WARM_UPS = 2  # kernels and libraries allocate at their first use, which must not happen while recording
_LOG = logging.getLogger(__name__)
_CAPTURE = threading.Lock()  # a process can make only one recording at a time
Inputs = TypeVar("Inputs", bound=Any)
Results = TypeVar("Results", bound=Any)
Holder = TypeVar("Holder", bound=Any)
Kept = TypeVar("Kept")


FEWEST_EDGES = 1_024
RUNGS_PER_DOUBLING = 64  # from 4,096 edges on at most 1/64 of them are padding, half of that on average
NARROWEST_RUNG, WIDEST_RUNG = 64, 16_384  # the number of edges fluctuates less than that, about as its root
PADDING_CUTOFFS = 2.0  # length of a padding edge, in cutoffs: beyond every envelope and every pair of covalent radii


def check_recordable(device: torch.device) -> None:
    """Raise DeviceError unless the device is a CUDA device."""
    if device.type != "cuda":
        raise DeviceError(f"CUDA graphs need a CUDA device, got {device}: remove cuda_graphs")


class Recorder:
    """Makes recordings on one device, which share their memory; a lock makes threads and streams take turns.

    Raises DeviceError if the device is not a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        check_recordable(device)
        self._lock = threading.Lock()
        self._stream, self._memory = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self._done = torch.cuda.Event()  # the last replay, whichever stream it was on

    @contextmanager
    def take_turn(self, tensor: Tensor) -> Iterator[None]:
        """Let a `with` block record and replay on the device of a tensor, after all earlier replays."""
        with self._lock, torch.cuda.device_of(tensor), record_function("orbmm: network"):
            torch.cuda.current_stream().wait_event(self._done)
            yield
            self._done.record()

    def record(self, inputs: Inputs, launch: Callable[[Inputs], Results]) -> Recording[Inputs, Results]:
        """Return a recording of what is launched on a copy of the inputs; call this in one's turn."""
        held = copy_tensors(inputs)
        here = torch.cuda.current_stream()
        work = torch.cuda.CUDAGraph()
        with _CAPTURE:
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    launch(held)
            here.wait_stream(self._stream)
            # Other threads of OpenMM may continue while this one records.
            with torch.cuda.graph(work, self._memory, self._stream, capture_error_mode="thread_local"):
                results = launch(held)
        return Recording(work, held, results)


@dataclass(frozen=True)
class Recording(Generic[Inputs, Results]):
    """A recording, with the arrays that it reads and those that it writes."""

    work: torch.cuda.CUDAGraph
    inputs: Inputs
    results: Results

    def repeat(self) -> Results:
        """Return the results for what the inputs hold now, in new arrays."""
        self.work.replay()
        return copy_tensors(self.results)


class Recordings(Generic[Kept]):
    """The recordings of one kind of work, by the shapes of their arrays; the least recently used one is dropped."""

    def __init__(self) -> None:
        self._by_shape: OrderedDict[tuple, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_shape)

    def __iter__(self) -> Iterator[tuple]:
        return iter(self._by_shape)

    def find(self, shape: tuple, record: Callable[[], Kept]) -> Kept:
        """Return what was recorded for these shapes; it is recorded if there is none."""
        if shape not in self._by_shape:
            torch.cuda.empty_cache()  # so that memory cached by torch is free for this recording
            self._by_shape[shape] = record()
        self._by_shape.move_to_end(shape)
        if len(self._by_shape) > MOST_RECORDINGS:
            self._by_shape.popitem(last=False)
        return self._by_shape[shape]

    def clear(self) -> None:
        """Drop all recordings."""
        self._by_shape.clear()


class Replay:
    """An engine that repeats recordings (CUDA graphs). Threads and streams may share it; a lock makes them take turns.

    All recordings share their memory; they are dropped when weights were changed in place.
    engine: what is recorded; recorder: makes the recordings
    Raises DeviceError if the device is not a CUDA device.
    """

    def __init__(self, engine: Engine, cutoff_angstrom: float, device: torch.device) -> None:
        self.engine, self.recorder = engine, Recorder(device)
        self._cutoff, self._device = cutoff_angstrom, device
        self._recordings: Recordings[Recording[AtomGraph, Prediction]] = Recordings()
        self._weights = engine.weights_read

    def __reduce__(self) -> tuple[type[Replay], tuple[object, ...]]:
        """Make copies from the same arguments: a copy makes recordings of its own."""
        return Replay, (self.engine, self._cutoff, self._device)

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Engine.predict; padding may change the rounding. Raises ModelError if the network cannot be recorded."""
        self.check_recordable(periodic=graph.cells is not None)
        padded = pad_edges(graph, climb_ladder(len(graph.senders)), self._cutoff)
        with self.recorder.take_turn(graph.vectors):
            if self.engine.read_changed_weights() or self._weights is not self.engine.weights_read:
                self._recordings.clear()
                self._weights = self.engine.weights_read
            prediction = self._repeat(padded, outputs)
        self.engine.refuse_overflow(prediction)
        return prediction

    def check_recordable(self, periodic: bool) -> None:
        """Raise ModelError if the network asks the host for a value. periodic: the system has a cell"""
        if self.engine.asks_host(periodic):
            raise ModelError(
                "direct forces without a cell cannot be recorded, because removing their net torque needs the host: "
                "remove cuda_graphs"
            )

    def _repeat(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        sizes = (len(graph.senders), len(graph.atomic_numbers), len(graph.counts))
        shape = (*sizes, graph.cells is None, frozenset(outputs))
        recording = self._recordings.find(shape, lambda: self._record(graph, outputs))
        overwrite_tensors(recording.inputs, graph)
        return recording.repeat()

    def _record(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Recording[AtomGraph, Prediction]:
        _LOG.info("recording the network on %d atoms and %d edges", len(graph.atomic_numbers), len(graph.senders))
        keep = self.engine.choose_kept(graph, outputs, torch.cuda.mem_get_info()[0])
        return self.recorder.record(graph, lambda held: self.engine.launch(held, outputs, keep))


def copy_tensors(holder: Holder) -> Holder:
    """Return a dataclass of tensors, of None and of such dataclasses, with a copy of each tensor."""
    named = {field.name: getattr(holder, field.name) for field in fields(holder)}
    copies = {
        name: value.clone() if isinstance(value, Tensor) else copy_tensors(value)
        for name, value in named.items()
        if value is not None
    }
    return replace(holder, **copies)


def overwrite_tensors(holder: Holder, given: Holder) -> None:
    """Copy the contents of each tensor of a dataclass into that of another with the same shapes."""
    for field in fields(holder):
        held, new = getattr(holder, field.name), getattr(given, field.name)
        if isinstance(held, Tensor):
            held.copy_(new)
        elif held is not None:
            overwrite_tensors(held, new)


def climb_ladder(edges: int) -> int:
    """Return the smallest size of the ladder that holds this many edges.

    The sizes are 1,024, then every 64th number up to 8,192, every 128th up to 16,384, and so on up to every 16,384th.
    """
    if edges <= FEWEST_EDGES:
        return FEWEST_EDGES
    share = 2 ** ((edges - 1).bit_length() - 1) // RUNGS_PER_DOUBLING
    rung = min(max(NARROWEST_RUNG, share), WIDEST_RUNG)
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
