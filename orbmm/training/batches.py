"""Convert labelled frames to graphs: edges are found once, frames are rotated and joined into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.checkpoints.architecture import Architecture
from orbmm.graph.edges import find_edges
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.training.dataset import Frame


@dataclass(frozen=True)
class LabelledGraph:
    """One frame with its edges; everything except the energy is float32.

    atomic_numbers: (N,); senders, receivers: (E,); vectors: (E, 3) [Å]; forces: (N, 3) [eV/Å]; peptide: (N,) bool
    energy: [eV]; volume: [Å^3], 0 without a cell
    """

    atomic_numbers: Tensor
    senders: Tensor
    receivers: Tensor
    vectors: Tensor
    forces: Tensor
    peptide: Tensor
    energy: float


@dataclass(frozen=True)
class Batch:
    """Several labelled graphs joined to one, with their targets; energies: (B,) float64 [eV]."""

    graph: AtomGraph
    energies: Tensor
    forces: Tensor
    peptide: Tensor


def prepare_frame(frame: Frame, architecture: Architecture, max_neighbors: int) -> LabelledGraph:
    """Find the edges of a labelled frame."""
    positions = torch.from_numpy(frame.positions)
    cell = None if frame.cell is None else torch.from_numpy(frame.cell)
    edges = find_edges(positions, cell, architecture.cutoff_angstrom, max_neighbors)
    return LabelledGraph(
        atomic_numbers=torch.from_numpy(frame.atomic_numbers),
        senders=edges.senders,
        receivers=edges.receivers,
        vectors=edges.vectors(positions, cell).float(),
        forces=torch.from_numpy(frame.labels.forces).float(),
        peptide=torch.from_numpy(frame.peptide),
        energy=frame.labels.energy,
    )


def join_graphs(graphs: Sequence[LabelledGraph], generator: torch.Generator | None = None) -> Batch:
    """Join graphs into a batch; if a generator is given, rotate each one randomly.

    Volumes are set to 1: training needs no stress, and the net torque of a periodic batch is not removed.
    """
    counts = torch.tensor([len(graph.atomic_numbers) for graph in graphs])
    starts = torch.cumsum(counts, 0) - counts
    turns = [random_rotation(generator) if generator else torch.eye(3) for _ in graphs]
    atoms = int(counts.sum())
    return Batch(
        graph=AtomGraph(
            atomic_numbers=torch.cat([graph.atomic_numbers for graph in graphs]),
            positions=torch.zeros(atoms, 3),
            senders=torch.cat([graph.senders + start for graph, start in zip(graphs, starts, strict=True)]),
            receivers=torch.cat([graph.receivers + start for graph, start in zip(graphs, starts, strict=True)]),
            vectors=torch.cat([graph.vectors @ turn for graph, turn in zip(graphs, turns, strict=True)]),
            system=torch.repeat_interleave(torch.arange(len(graphs)), counts),
            counts=counts,
            volumes=torch.ones(len(graphs)),
        ),
        energies=torch.tensor([graph.energy for graph in graphs], dtype=torch.float64),
        forces=torch.cat([graph.forces @ turn for graph, turn in zip(graphs, turns, strict=True)]),
        peptide=torch.cat([graph.peptide for graph in graphs]),
    )


def random_rotation(generator: torch.Generator) -> Tensor:
    """Return a uniformly distributed random rotation, (3, 3): a Gaussian matrix, orthonormalised."""
    matrix, upper = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    matrix = matrix * torch.sign(torch.diagonal(upper))
    return matrix * torch.sign(torch.linalg.det(matrix))
