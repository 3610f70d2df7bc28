"""Several structures in one evaluation: graphs are joined up to a number of edges, and the prediction is cut apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from orbmm.errors import GraphError, ModelError, StructureError
from orbmm.model.network.atom_graph import AtomGraph, join_systems
from orbmm.model.network.orb import Prediction

MOST_EDGES = 50_000  # by scripts/benchmarks/batches.py: larger batches gain nothing on a CPU and need more memory

Given = TypeVar("Given")
Made = TypeVar("Made")


class Structure(NamedTuple):
    """The arguments of Potential.predict for one structure."""

    atomic_numbers: Any
    positions: Any
    cell: Any = None
    charge: float | None = None
    multiplicity: int | None = None


def read_structures(given: Any) -> list[Structure]:
    """Return the entries of a list of structures. Raises ModelError unless each holds the arguments of predict."""
    if not isinstance(given, Iterable):
        raise ModelError(
            f"predict_many takes a list of structures, got {given!r:.40}: give one (atomic_numbers, positions) for each"
        )
    return [_read_structure(structure, index) for index, structure in enumerate(given)]


def _read_structure(given: Any, index: int) -> Structure:
    if isinstance(given, tuple | list) and 2 <= len(given) <= len(Structure._fields):
        return Structure(*given)
    raise ModelError(
        f"structure {index} (counted from 0) is no tuple of 2 to 5 values: give (atomic_numbers, positions), then "
        "cell, charge and multiplicity where they are needed"
    )


def number_errors(work: Callable[[Given], Made], index: int, given: Given) -> Made:
    """Return the result for one of several structures; the errors for a structure say which one it was."""
    try:
        return work(given)
    except (StructureError, ModelError, GraphError) as error:
        raise type(error)(f"structure {index} (counted from 0): {error}") from error


def check_most_edges(most_edges: int) -> None:
    """Raise ModelError unless the largest number of edges of a batch is a whole number above zero."""
    if isinstance(most_edges, bool) or not isinstance(most_edges, int) or most_edges < 1:
        raise ModelError(f"most_edges must be a whole number of at least 1, got {most_edges!r}")


@dataclass
class Batch:
    """Graphs that are evaluated together, all with a cell or all without. indices: where each one is in the list"""

    indices: list[int] = field(default_factory=list)
    graphs: list[AtomGraph] = field(default_factory=list)
    edges: int = 0

    def add(self, index: int, graph: AtomGraph) -> None:
        """Take in one more graph."""
        self.indices.append(index)
        self.graphs.append(graph)
        self.edges += len(graph.senders)

    def join(self) -> AtomGraph:
        """Return the graphs as one."""
        return join_systems(self.graphs)

    def split(self, prediction: Prediction) -> Iterator[tuple[int, Prediction]]:
        """Yield the index and the prediction of each system of the batch."""
        first = 0
        for number, (index, graph) in enumerate(zip(self.indices, self.graphs, strict=True)):
            atoms = slice(first, first + len(graph.atomic_numbers))
            system = slice(number, number + 1)
            first = atoms.stop
            yield (
                index,
                Prediction(
                    energy=_take(prediction.energy, system),
                    forces=_take(prediction.forces, atoms),
                    stress=_take(prediction.stress, system),
                    confidence=_take(prediction.confidence, atoms),
                ),
            )


def gather_batches(graphs: Iterable[AtomGraph], most_edges: int) -> Iterator[Batch]:
    """Yield batches of at most most_edges edges; a graph with more makes a batch by itself.

    Graphs with a cell and graphs without are kept apart: a network computes stress, or removes the net torque.
    """
    open_batches = {True: Batch(), False: Batch()}
    for index, graph in enumerate(graphs):
        periodic = graph.cells is not None
        batch = open_batches[periodic]
        if batch.graphs and batch.edges + len(graph.senders) > most_edges:
            yield batch
            batch = open_batches[periodic] = Batch()
        batch.add(index, graph)
    yield from (batch for batch in open_batches.values() if batch.graphs)


def _take(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]
