"""The input of the network: atoms and their edges, for one system or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from orbmm.errors import ModelError
from orbmm.model.network.grouping import sum_by_index


@dataclass(frozen=True)
class AtomGraph:
    """One or several (B) systems with N atoms and E edges in total, on one device and in one float type.

    atomic_numbers: (N,) int64
    positions: (N, 3) [Å], used only to remove the net torque of direct forces
    senders, receivers: (E,) int64
    vectors: (E, 3) [Å], from sender to receiver, lattice shifts included
    system: (N,) int64, the system of each atom; counts: (B,) int64, the number of atoms in each system
    cells: (B, 3, 3) [Å], rows are lattice vectors, of any float type; None without periodic boundaries
    charges [e], multiplicities: (B,), None for networks that do not take them
    """

    atomic_numbers: Tensor
    positions: Tensor
    senders: Tensor
    receivers: Tensor
    vectors: Tensor
    system: Tensor
    counts: Tensor
    cells: Tensor | None = None
    charges: Tensor | None = None
    multiplicities: Tensor | None = None

    def compute_volumes(self) -> Tensor:
        """Return the volumes (B,) [Å^3]; on a GPU a determinant would wait for a library.

        Raises ModelError without periodic boundaries.
        """
        if self.cells is None:
            raise ModelError("stress needs a cell: a molecule in vacuum has no volume")
        first, second, third = self.cells.unbind(dim=1)  # (B, 3) each
        return (torch.linalg.cross(first, second) * third).sum(dim=1).abs().to(self.vectors.dtype)

    def take_edges(self, chosen: Tensor) -> AtomGraph:
        """Return the graph with only the edges at these indices. chosen: (E',) int64."""
        ends = (self.senders.index_select(0, chosen), self.receivers.index_select(0, chosen))
        return replace(self, senders=ends[0], receivers=ends[1], vectors=self.vectors.index_select(0, chosen))

    def sum_atoms(self, values: Tensor) -> Tensor:
        """Sum (N, ...) over the atoms of each system, (B, ...)."""
        if len(self.counts) == 1:
            return values.sum(dim=0, keepdim=True)
        return sum_by_index(values, self.system, len(self.counts))

    def mean_atoms(self, values: Tensor) -> Tensor:
        """Average (N, ...) over the atoms of each system, (B, ...)."""
        counts = self.counts.to(values.dtype).reshape(-1, *[1] * (values.dim() - 1))
        return self.sum_atoms(values) / counts

    def sum_senders(self, values: Tensor) -> Tensor:
        """Sum (E, ...) over the edges that an atom sends, (N, ...)."""
        return sum_by_index(values, self.senders, len(self.atomic_numbers))

    def sum_receivers(self, values: Tensor) -> Tensor:
        """Sum (E, ...) over the edges that an atom receives, (N, ...)."""
        return sum_by_index(values, self.receivers, len(self.atomic_numbers))

    def forces_from_gradient(self, gradient: Tensor) -> Tensor:
        """Return the forces (N, 3) from dE/dvectors (E, 3); each vector is receiver minus sender."""
        return self.sum_senders(gradient) - self.sum_receivers(gradient)

    def virial_from_gradient(self, gradient: Tensor) -> Tensor:
        """Return dE/dstrain (B, 3, 3) from dE/dvectors (E, 3); a strain e turns each vector r into r + r e."""
        return self.sum_atoms(self.sum_senders(self.vectors[:, :, None] * gradient[:, None, :]))


def join_systems(graphs: Sequence[AtomGraph]) -> AtomGraph:
    """Return graphs, all with a cell or all without, as one graph in which no system sees another.

    Raises ModelError for graphs with a cell, charge or multiplicity beside graphs without.
    """
    if len(graphs) == 1:
        return graphs[0]
    atoms, systems = _list_starts([len(graph.atomic_numbers) for graph in graphs]), range(len(graphs))
    return AtomGraph(
        atomic_numbers=torch.cat([graph.atomic_numbers for graph in graphs]),
        positions=torch.cat([graph.positions for graph in graphs]),
        senders=torch.cat([graph.senders + start for graph, start in zip(graphs, atoms, strict=True)]),
        receivers=torch.cat([graph.receivers + start for graph, start in zip(graphs, atoms, strict=True)]),
        vectors=torch.cat([graph.vectors for graph in graphs]),
        system=torch.cat([graph.system + number for graph, number in zip(graphs, systems, strict=True)]),
        counts=torch.cat([graph.counts for graph in graphs]),
        cells=_join_known("cell", [graph.cells for graph in graphs]),
        charges=_join_known("charge", [graph.charges for graph in graphs]),
        multiplicities=_join_known("multiplicity", [graph.multiplicities for graph in graphs]),
    )


def _list_starts(counts: Sequence[int]) -> list[int]:
    return [0, *accumulate(counts)][:-1]


def _join_known(name: str, values: Sequence[Tensor | None]) -> Tensor | None:
    known = [value for value in values if value is not None]
    if 0 < len(known) < len(values):
        raise ModelError(f"a batch holds systems with and without a {name}: join either kind by itself")
    return torch.cat(known) if known else None
