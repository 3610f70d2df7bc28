"""Convert labelled frames to graphs: edges are found once, frames are rotated and joined into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord, element_symbol
from orbmm.errors import OrbmmError, TrainingError
from orbmm.graph.edges import find_edges
from orbmm.model.network.atom_graph import AtomGraph, join_systems
from orbmm.training.data.frames import Frame

CLOSEST_ANGSTROM = 0.3
"""Two atoms nearer than this are an error of the file: no bond is shorter than 0.7 Å."""


@dataclass(frozen=True)
class LabelledGraph:
    """One frame with its edges; everything except the energy is float32.

    atomic_numbers: (N,); positions: (N, 3) [Å]; senders, receivers: (E,); vectors: (E, 3) [Å]
    forces: (N, 3) [eV/Å]; peptide: (N,) bool; energy: [eV]
    stress: (6,) [eV/Å^3], NaN where it is not known; cell: (3, 3) [Å] or None
    charge [e], multiplicity: None for networks that do not take them
    """

    atomic_numbers: Tensor
    positions: Tensor
    senders: Tensor
    receivers: Tensor
    vectors: Tensor
    forces: Tensor
    peptide: Tensor
    energy: float
    stress: Tensor
    cell: Tensor | None
    charge: int | None
    multiplicity: int | None
    group: str

    def to_graph(self) -> AtomGraph:
        """Return the input of the network, without the labels."""
        atoms = len(self.atomic_numbers)
        return AtomGraph(
            atomic_numbers=self.atomic_numbers,
            positions=self.positions,
            senders=self.senders,
            receivers=self.receivers,
            vectors=self.vectors,
            system=torch.zeros(atoms, dtype=torch.int64),
            counts=torch.tensor([atoms]),
            cells=None if self.cell is None else self.cell[None],
            charges=_make_scalar(self.charge),
            multiplicities=_make_scalar(self.multiplicity),
        )


def _make_scalar(value: int | None) -> Tensor | None:
    return None if value is None else torch.tensor([value], dtype=torch.float32)


@dataclass(frozen=True)
class Batch:
    """Several labelled graphs joined to one, with their targets, all with a cell or all without.

    energies: (B,) float64 [eV]; forces: (N, 3) [eV/Å]; stress: (B, 6) [eV/Å^3], NaN where it is not known
    """

    graph: AtomGraph
    energies: Tensor
    forces: Tensor
    stress: Tensor
    peptide: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        graph = replace(self.graph, **_move(self.graph, device))
        return replace(self, graph=graph, **_move(self, device))


def _move(part: Batch | AtomGraph, device: torch.device) -> dict[str, Any]:
    """Return the tensors of a dataclass on a device, by name."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}


def prepare_frame(frame: Frame, record: CheckpointRecord) -> LabelledGraph:
    """Find the edges of a labelled frame.

    Raises TrainingError, with the number of the frame, for coordinates without a meaning.
    """
    positions = torch.from_numpy(frame.positions)
    cell = None if frame.cell is None else torch.from_numpy(frame.cell)
    try:
        edges = find_edges(positions, cell, record.architecture.cutoff_angstrom, record.max_neighbors)
    except OrbmmError as error:
        raise TrainingError(f"{frame.source}: {error}") from error
    vectors = edges.vectors(positions, cell)
    _check_distances(frame, edges.senders, edges.receivers, vectors)
    stress = np.full(6, np.nan) if frame.stress is None else frame.stress
    return LabelledGraph(
        atomic_numbers=torch.from_numpy(frame.atomic_numbers),
        positions=positions.float(),
        senders=edges.senders,
        receivers=edges.receivers,
        vectors=vectors.float(),
        forces=torch.from_numpy(frame.labels.forces).float(),
        peptide=torch.from_numpy(frame.peptide),
        energy=frame.labels.energy,
        stress=torch.from_numpy(stress).float(),
        cell=None if cell is None else cell.float(),
        charge=frame.charge if record.takes_charge else None,
        multiplicity=frame.multiplicity if record.takes_charge else None,
        group=frame.group,
    )


def _check_distances(frame: Frame, senders: Tensor, receivers: Tensor, vectors: Tensor) -> None:
    close = (torch.linalg.vector_norm(vectors, dim=1) < CLOSEST_ANGSTROM).nonzero()
    if len(close):
        ends = (int(senders[close[0, 0]]), int(receivers[close[0, 0]]))
        names = " and ".join(f"{element_symbol(int(frame.atomic_numbers[end]))} {end}" for end in ends)
        raise TrainingError(f"{frame.source}: {names} are nearer than {CLOSEST_ANGSTROM} Å: the coordinates are wrong")


def join_graphs(graphs: Sequence[LabelledGraph], generator: torch.Generator | None = None) -> Batch:
    """Join graphs, all with a cell or all without, into a batch; if a generator is given, rotate each one randomly."""
    if generator is not None:
        graphs = [rotate_graph(graph, random_rotation(generator)) for graph in graphs]
    return Batch(
        graph=join_systems([graph.to_graph() for graph in graphs]),
        energies=torch.tensor([graph.energy for graph in graphs], dtype=torch.float64),
        forces=torch.cat([graph.forces for graph in graphs]),
        stress=torch.stack([graph.stress for graph in graphs]),
        peptide=torch.cat([graph.peptide for graph in graphs]),
    )


_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))


def rotate_graph(graph: LabelledGraph, turn: Tensor) -> LabelledGraph:
    """Return the graph with its vectors, cell and labels multiplied by turn, (3, 3)."""
    return replace(
        graph,
        positions=graph.positions @ turn,
        vectors=graph.vectors @ turn,
        forces=graph.forces @ turn,
        stress=rotate_stress(graph.stress, turn),
        cell=None if graph.cell is None else graph.cell @ turn,
    )


def rotate_stress(stress: Tensor, turn: Tensor) -> Tensor:
    """Return the stress (6,), order xx yy zz yz xz xy, of a structure whose vectors are multiplied by turn (3, 3)."""
    rotated = turn.T @ stress[torch.tensor(_VOIGT)] @ turn  # (3, 3)
    return torch.stack([rotated[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])


def random_rotation(generator: torch.Generator) -> Tensor:
    """Return a uniformly distributed random rotation, (3, 3): a Gaussian matrix, orthonormalised."""
    matrix, upper = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    matrix = matrix * torch.sign(torch.diagonal(upper))
    return matrix * torch.sign(torch.linalg.det(matrix))
