"""Pad edges to a few sizes, so that steps with slightly different numbers of edges have the same shapes."""

from __future__ import annotations

from dataclasses import replace

import torch

from orbmm.model.network.atom_graph import AtomGraph

FEWEST_EDGES = 1_024
RUNGS_PER_DOUBLING = 16  # above the first rung at most 1/16 of the edges are padding, half of that on average
PADDING_CUTOFFS = 2.0  # length of a padding edge, in cutoffs: beyond every envelope and every pair of covalent radii


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
