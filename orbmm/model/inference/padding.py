"""Edges padded to a few sizes: a step whose edges are a few more or fewer than the last one's has the same shapes."""

from __future__ import annotations

from dataclasses import replace

import torch

from orbmm.model.network.atom_graph import AtomGraph

FEWEST_EDGES = 1_024
RUNGS_PER_DOUBLING = 16  # beyond the first rung at most 1/16 of the edges are padding, half of that on average
PADDING_CUTOFFS = 2.0  # length of a padding edge, in cutoffs: beyond every envelope and every pair of covalent radii


def climb_ladder(edges: int) -> int:
    """The smallest size of the ladder that holds so many edges: 1,024 and below 2,048 every 64th number, then every
    128th below 4,096, and so on."""
    if edges <= FEWEST_EDGES:
        return FEWEST_EDGES
    rung = 2 ** ((edges - 1).bit_length() - 1) // RUNGS_PER_DOUBLING
    return -(-edges // rung) * rung


def pad_edges(graph: AtomGraph, edges: int, cutoff_angstrom: float) -> AtomGraph:
    """The graph with so many edges: those added lead from an atom to itself, dealt out evenly over the atoms, and are
    so long that their envelope and its slope, and with them all that they do, are exactly zero (as long as no number
    overflows: the features of a padding edge are computed like any other's)."""
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
