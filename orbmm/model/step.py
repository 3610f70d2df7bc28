"""A step of dynamics on a GPU: from positions to energy and forces without a wait, then one report to the host.

The edges come from kept pairs, in arrays whose sizes the host knows before. So everything can be launched, or recorded
as one CUDA graph, before the host knows whether the kept pairs would do. The report tells: an answer is given only
after it was read, and computed again after a new search if it was not valid.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import ModelError
from orbmm.graph.table import NeighborTable, PaddedEdges, select_edges
from orbmm.graph.verlet import VerletList
from orbmm.model.composition import Composition
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.replay import (
    PADDING_CUTOFFS,
    Recording,
    Recordings,
    Replay,
    climb_ladder,
    overwrite_tensors,
)
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import ENERGY_AND_FORCES, Potential

FORESIGHT = 1.5  # a search is made if this many steps as long as the last would carry an atom too far
BONDS_PER_ATOM = 8  # edges that repel, room at first: water has 1.3, a hydrocarbon 4
MOST_TRIES = 8  # of one step: at most a new search, a longer recording and more room for bonds are needed

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepInputs:
    """All that a step depends on. positions: (N, 3) [Å] float64; cell: (3, 3) [Å] float64 or None; table: kept pairs"""

    positions: Tensor
    cell: Tensor | None
    table: NeighborTable


@dataclass(frozen=True)
class StepResults:
    """The results of a step. prediction: energy and forces; report: (7,) float64, the fields of a Report"""

    prediction: Prediction
    report: Tensor


class Report(NamedTuple):
    """The numbers that the host reads of a step.

    energy: [eV]; farthest: [Å^2], the longest way of an atom since the search, squared
    edges, bonds: how many edges there are, and how many of them repel
    same_box, overlaps, finite: 1 if the box is that of the search, two atoms overlap, energy and forces are finite
    """

    energy: float
    farthest: float
    edges: float
    bonds: float
    same_box: float
    overlaps: float
    finite: float


@dataclass(frozen=True)
class Sizes:
    """The number of edges, and of edges that repel, for which arrays have room."""

    edges: int
    bonds: int


@dataclass(frozen=True)
class _Kept:
    """Kept pairs, and the sizes of arrays. reach, last_move: [Å], how far atoms were at the last step, and its part"""

    table: NeighborTable
    sizes: Sizes
    reach: float = 0.0
    last_move: float = 0.0


@dataclass
class _RecordedStep:
    """A recording of a step, and the table whose contents its arrays hold now."""

    recording: Recording[StepInputs, StepResults]
    table: NeighborTable

    def repeat(self, inputs: StepInputs) -> StepResults:
        """Return the results for inputs of the same shapes; the table is copied only after a search."""
        held = self.recording.inputs
        if self.table is not inputs.table:
            overwrite_tensors(held.table, inputs.table)
            self.table = inputs.table
        held.positions.copy_(inputs.positions)
        if held.cell is not None and inputs.cell is not None:
            held.cell.copy_(inputs.cell)
        return self.recording.repeat()


@dataclass(frozen=True)
class CheckedPrediction:
    """Energy and forces of the coordinates that were asked for.

    is_finite: False if there is NaN or infinity in them; energy: () float64 [eV] on the host, None if not copied there
    """

    prediction: Prediction
    is_finite: bool
    energy: Tensor | None = None


class Step:
    """Energy and forces of one system along a trajectory. Threads may share a step.

    The results depend only on the coordinates and the cell: the number of edges alone decides how many are padding.
    """

    def __init__(self, potential: Potential, composition: Composition, neighbors: VerletList) -> None:
        self._potential, self._composition, self._neighbors = potential, composition, neighbors
        predictor = potential.engine
        self._replay = predictor if isinstance(predictor, Replay) else None
        engine = predictor.engine if isinstance(predictor, Replay) else predictor
        if not isinstance(engine, Engine):
            raise ModelError(f"a step needs an engine, got {type(engine).__name__}: use Potential.run")
        self._engine = engine
        self._kept: _Kept | None = None
        self._box_varies = False
        self._bonds = climb_ladder(BONDS_PER_ATOM * len(composition.atomic_numbers))
        self._recordings: Recordings[_RecordedStep] = Recordings()
        self._weights = engine.weights_read

    @staticmethod
    def suits(potential: Potential) -> bool:
        """Return True if the network of a potential can be launched without waiting: on a GPU, not compiled."""
        return potential.device.type == "cuda" and isinstance(potential.engine, Engine | Replay)

    def predict(self, positions: Tensor, cell: Tensor | None) -> CheckedPrediction:
        """Return energy and forces.

        positions: (N, 3) [Å] float64; cell: (3, 3) [Å] float64 or None
        Raises the errors of VerletList.find_edges and of Engine.predict; ModelError for a report that stays invalid.
        """
        if self._replay is not None:
            self._replay.check_recordable(periodic=cell is not None)
        kept = self._kept
        if kept is None or not kept.table.fits(positions, cell) or self._is_due(kept, cell):
            kept = self._search(positions, cell)
        for _ in range(MOST_TRIES):
            results = self._run(kept, positions, cell)
            report = Report(*results.report.cpu().tolist())  # the only wait
            if not self._is_valid(report):
                self._box_varies = self._box_varies or not report.same_box
                kept = self._search(positions, cell)  # which raises an error for overlaps and invalid coordinates
            elif self._fit_sizes(report, kept.sizes) != kept.sizes:
                kept = replace(kept, sizes=self._fit_sizes(report, kept.sizes))
            else:
                break
        else:
            raise ModelError(
                f"a step on {self._potential.device} was computed {MOST_TRIES} times and never fits its own search: "
                "run `orbmm doctor --gpu`; the card or its driver may be faulty"
            )
        reach = math.sqrt(report.farthest)
        self._kept = replace(kept, reach=reach, last_move=abs(reach - kept.reach))
        if not report.finite:
            self._engine.refuse_overflow(results.prediction)
        energy = torch.tensor(report.energy, dtype=torch.float64, device="cpu")
        return CheckedPrediction(results.prediction, bool(report.finite), energy)

    def _is_due(self, kept: _Kept, cell: Tensor | None) -> bool:
        """Return True if it is better to search now than to compute a step in vain; never needed for a right answer."""
        given = kept.table.given
        if self._box_varies and cell is not None and given is not None and not torch.equal(cell, given):
            return True  # a second wait at each step, once a barostat has been seen at work
        return kept.reach + FORESIGHT * kept.last_move > self._neighbors.limits.skin_angstrom / 2

    def _is_valid(self, report: Report) -> bool:
        half_skin = self._neighbors.limits.skin_angstrom / 2
        return bool(report.farthest <= half_skin**2 and report.same_box and not report.overlaps)

    def _search(self, positions: Tensor, cell: Tensor | None) -> _Kept:
        table, edges = self._neighbors.tabulate(positions, cell)
        return _Kept(table, Sizes(climb_ladder(edges), self._bonds))

    def _fit_sizes(self, report: Report, sizes: Sizes) -> Sizes:
        """Return the sizes that fit; that of the edges depends on nothing else, because it changes the rounding."""
        if report.bonds > sizes.bonds:
            self._bonds = climb_ladder(int(report.bonds))
        return Sizes(climb_ladder(int(report.edges)), max(self._bonds, sizes.bonds))

    def _run(self, kept: _Kept, positions: Tensor, cell: Tensor | None) -> StepResults:
        """Return the results of a step, launched or repeated, which may not be valid."""
        inputs = StepInputs(positions, cell, kept.table)
        with torch.no_grad(), self._potential.precision.in_force(self._potential.device):
            if self._replay is not None:
                with self._replay.recorder.take_turn(positions):
                    return self._repeat(inputs, kept.sizes)
            with torch.cuda.device_of(positions):
                self._engine.read_changed_weights()
                return self._launch(inputs, kept.sizes, None)

    def _repeat(self, inputs: StepInputs, sizes: Sizes) -> StepResults:
        if self._engine.read_changed_weights() or self._weights is not self._engine.weights_read:
            self._recordings.clear()
            self._weights = self._engine.weights_read
        table = inputs.table
        shape = (sizes, *table.receivers.shape, len(table.shifts), inputs.cell is None)
        return self._recordings.find(shape, lambda: self._record(inputs, sizes)).repeat(inputs)

    def _record(self, inputs: StepInputs, sizes: Sizes) -> _RecordedStep:
        if self._replay is None:
            raise ModelError("a step is recorded by a Replay only: load the model with cuda_graphs")
        _LOG.info("recording a step on %d atoms and %d edges", len(inputs.positions), sizes.edges)
        found = select_edges(inputs.table, inputs.positions, inputs.cell, self._neighbors.limits, sizes.edges)
        graph = self._make_graph(inputs, found)
        keep = self._engine.choose_kept(graph, ENERGY_AND_FORCES, torch.cuda.mem_get_info()[0])
        recording = self._replay.recorder.record(inputs, lambda held: self._launch(held, sizes, keep))
        return _RecordedStep(recording, inputs.table)

    def _launch(self, inputs: StepInputs, sizes: Sizes, keep: Sequence[Keep] | None) -> StepResults:
        """Return the results of a step with operations that depend only on shapes. keep: None to choose it now."""
        with record_function("orbmm: graph"):
            found = select_edges(inputs.table, inputs.positions, inputs.cell, self._neighbors.limits, sizes.edges)
            graph = self._make_graph(inputs, found)
        if keep is None:
            keep = self._engine.choose_kept(graph, ENERGY_AND_FORCES)
        ranks = self._potential.network.repulsion.count_close_edges(graph)  # (E,)
        bonds = self._take_bonds(graph, ranks, sizes.bonds)
        prediction = self._engine.launch(graph, ENERGY_AND_FORCES, keep, bonds)
        return StepResults(prediction, _write_report(found, ranks[-1], prediction))

    def _make_graph(self, inputs: StepInputs, found: PaddedEdges) -> AtomGraph:
        """Return the graph, with padding as of `pad_edges`: too long to contribute anything."""
        graph = self._potential.make_graph(self._composition, inputs.positions, inputs.cell, found.edges)
        return replace(graph, vectors=self._pad_vectors(graph.vectors, found.is_real))

    def _take_bonds(self, graph: AtomGraph, ranks: Tensor, size: int) -> AtomGraph:
        """Return the edges that repel, in their order, then padding. ranks: (E,), of count_close_edges"""
        index = torch.arange(size, device=ranks.device)  # (S,)
        is_bond = index < ranks[-1]
        chosen = torch.searchsorted(ranks, index, right=True).clamp_(max=len(ranks) - 1)  # (S,)
        taken, padding = graph.take_edges(chosen), index % len(graph.atomic_numbers)
        return replace(
            taken,
            senders=torch.where(is_bond, taken.senders, padding),
            receivers=torch.where(is_bond, taken.receivers, padding),
            vectors=self._pad_vectors(taken.vectors, is_bond),
        )

    def _pad_vectors(self, vectors: Tensor, is_real: Tensor) -> Tensor:
        """Return vectors (S, 3) [Å], with those of padding where is_real (S,) is False."""
        padding = vectors.new_zeros(3)
        padding[0] = PADDING_CUTOFFS * self._neighbors.limits.cutoff_angstrom
        return torch.where(is_real[:, None], vectors, padding)


def is_finite(prediction: Prediction) -> bool:
    """Return True if there is no NaN or infinity in energy and forces; on a GPU the host waits."""
    return bool(_check_finite(prediction))


def _check_finite(prediction: Prediction) -> Tensor:
    results = [each for each in (prediction.energy, prediction.forces) if each is not None]
    return torch.stack([torch.isfinite(each).all() for each in results]).all()  # ()


def _write_report(found: PaddedEdges, bonds: Tensor, prediction: Prediction) -> Tensor:
    """Return the fields of a Report, (7,) float64, on the device. bonds: (), the number of edges that repel"""
    if prediction.energy is None:
        raise ModelError("the network gave no energy: report this as a bug")
    fields = (
        prediction.energy.sum(),
        found.farthest,
        found.count,
        bonds,
        found.same_box,
        found.overlaps,
        _check_finite(prediction),
    )
    return torch.stack([each.to(torch.float64) for each in fields])
