"""Padding edges do nothing, and sizes of a ladder are few."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.checkpoints.catalog import list_models
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.inference.replay import FEWEST_EDGES, climb_ladder, pad_edges
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.repulsion import read_covalent_radii
from orbmm.model.potential import Potential

MODELS = ("orb-v3-direct-20-omat", "orb-v3-conservative-inf-omat", "orb-mini-conservative-inf-xtb")
PADDED = 777  # more than there are atoms
BLOCK = 500


@pytest.fixture(scope="module", params=MODELS)
def potential(request: pytest.FixtureRequest) -> Potential:
    plain = make_random_potential(request.param)
    return replace(plain, engine=Engine(plain.network, plain.precision, MemoryUse(BLOCK), plain.device))


def make_graph(potential: Potential, scale: float = 1.0) -> AtomGraph:
    structure = MAKERS["water_cube"]()
    positions, cell = scale * torch.from_numpy(structure.positions), scale * torch.from_numpy(structure.cell)
    edges = potential.find_edges(positions, cell)
    return potential.make_graph(potential.compose(structure.atomic_numbers), positions, cell, edges)


def test_padding_edges_change_nothing_but_rounding(potential: Potential) -> None:
    graph = make_graph(potential)
    padded = pad_edges(graph, len(graph.senders) + PADDED, potential.record.architecture.cutoff_angstrom)
    assert len(padded.senders) == len(padded.vectors) == len(graph.senders) + PADDED
    for outputs in ({"energy", "forces", "stress", "confidence"}, {"energy"}):
        plain, more = potential.run(graph, outputs), potential.run(padded, outputs)
        for name in outputs:
            torch.testing.assert_close(getattr(more, name), getattr(plain, name), rtol=1e-13, atol=1e-13)


def test_padding_edges_have_no_weight_at_all(potential: Potential) -> None:
    graph = make_graph(potential)
    cutoff = potential.record.architecture.cutoff_angstrom
    padded = pad_edges(graph, len(graph.senders) + PADDED, cutoff)
    reaching = replace(padded, vectors=padded.vectors.clamp(max=0.9 * cutoff))  # where an edge of that length counts
    outputs = {"energy", "forces"}
    assert (potential.run(reaching, outputs).forces - potential.run(padded, outputs).forces).abs().max() > 1e-6


def test_padding_edges_do_not_repel(potential: Potential) -> None:
    graph = make_graph(potential, 0.8)
    padded = pad_edges(graph, len(graph.senders) + PADDED, potential.record.architecture.cutoff_angstrom)
    take = potential.network.repulsion.take_close_edges
    assert len(take(padded).senders) == len(take(graph).senders) > 0
    assert 2 * min(record.architecture.cutoff_angstrom for record in list_models()) > 2 * max(read_covalent_radii())


def test_a_graph_of_the_size_asked_for_stays_as_it_is(potential: Potential) -> None:
    graph = make_graph(potential)
    assert pad_edges(graph, len(graph.senders), 6.0) is graph


def test_the_ladder_holds_every_number_with_little_to_spare() -> None:
    rungs = {climb_ladder(edges) for edges in range(1, 70_000)}
    assert min(rungs) == FEWEST_EDGES
    assert len(rungs) == 310
    for edges in (1, 1_024, 1_025, 2_048, 2_049, 150_000, 9_876_543):
        rung = climb_ladder(edges)
        assert edges <= rung <= max(FEWEST_EDGES, edges + 64, edges * 65 / 64)
        assert climb_ladder(rung) == rung and rung % 64 == 0
