"""Confidence: what its head learns, online and refitted."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from training.conftest import CONSERVATIVE, DIRECT

from orbmm.errors import TrainingError
from orbmm.model.load import load_model
from orbmm.model.network.orb import Orb
from orbmm.training import refit_confidence
from orbmm.training.confidence.head import LEFT_OUT, compute_atom_errors, expect_errors, find_bins, require_head
from orbmm.training.data.batches import LabelledGraph, join_graphs, prepare_frame
from orbmm.training.data.frames import Frame
from orbmm.training.steps.loop import _clip
from orbmm.training.steps.losses import compute_confidence_loss

OXYGEN_ERROR, HYDROGEN_ERROR = 0.2, 0.05  # eV/Å
HEAD = "heads.confidence."


@pytest.fixture(scope="module", params=[CONSERVATIVE, DIRECT])
def potential(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return load_model(request.param, device="cpu", precision="float32-highest")


@pytest.fixture
def graphs(potential, frames: list[Frame]) -> list[LabelledGraph]:  # type: ignore[no-untyped-def]
    """Waters whose labels are the network's own forces but for an error that only the element decides."""
    found = []
    for frame in frames:
        graph = prepare_frame(frame, potential.record)
        own = potential.network(join_graphs([graph]).graph, {"forces"}).forces.detach()
        size = torch.where(graph.atomic_numbers == 8, OXYGEN_ERROR, HYDROGEN_ERROR)[:, None]
        found.append(replace(graph, forces=own + size * torch.sign(own)))
    return found


def test_the_bin_of_an_error_is_the_one_between_its_edges() -> None:
    edges = torch.tensor([0.0, 0.1, 0.2, 0.3])
    errors = torch.tensor([0.0, 0.05, 0.1, 0.25, 0.3, 7.0])
    assert find_bins(errors, edges, "last bin").tolist() == [0, 0, 1, 2, 2, 2]
    assert find_bins(errors, edges, "left out").tolist() == [0, 0, 1, 2, LEFT_OUT, LEFT_OUT]


def test_the_loss_is_the_mean_information_of_the_true_bins(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    batch = join_graphs([graph for graph in graphs if graph.cell is None])
    far = replace(batch, forces=batch.forces.index_add(0, torch.tensor([0]), torch.full((1, 3), 9.0)))
    prediction = potential.network(batch.graph, {"forces", "confidence", "confidence_logits"})
    errors = (prediction.forces.detach() - far.forces).abs().mean(dim=1).double().numpy()
    edges = potential.network.get_buffer(f"{HEAD}bin_edges").double().numpy()
    bins = np.minimum(np.searchsorted(edges, errors, side="right") - 1, len(edges) - 2)
    information = -np.log(prediction.confidence.detach().double().numpy()[np.arange(len(bins)), bins])
    loss = {
        rule: float(compute_confidence_loss(potential.network, prediction, far, rule).detach())
        for rule in ("last bin", "left out")
    }
    assert loss["last bin"] == pytest.approx(information.mean(), rel=1e-5)
    assert loss["left out"] == pytest.approx(information[errors < edges[-1]].mean(), rel=1e-5)
    assert loss["left out"] != pytest.approx(loss["last bin"], rel=1e-2)


def test_the_head_teaches_the_rest_of_the_network_nothing(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    network = deepcopy(potential.network).requires_grad_(True).train()
    batch = join_graphs([graphs[0]])
    found = network(batch.graph, {"forces", "confidence_logits"})
    compute_confidence_loss(network, found, batch, "last bin").backward()
    touched = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert touched == {name for name, _ in network.named_parameters() if name.startswith(HEAD)}


def test_a_steep_head_does_not_shorten_the_step_of_the_rest() -> None:
    network = deepcopy(load_model(CONSERVATIVE, device="cpu").network).requires_grad_(True)
    for name, weight in network.named_parameters():
        weight.grad = torch.full_like(weight, 1e6 if name.startswith(HEAD) else 1e-6)
    _clip(network, 10.0)
    parts = [[w.grad for n, w in network.named_parameters() if n.startswith(HEAD) == own] for own in (True, False)]
    norms = [float(torch.cat([grad.ravel() for grad in part]).norm()) for part in parts]
    assert norms[0] == pytest.approx(10.0, rel=1e-3)
    assert all((grad == 1e-6).all() for grad in parts[1])


def test_a_refit_finds_the_errors_and_changes_nothing_else(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    network = deepcopy(potential.network)
    refit_confidence(network, graphs[:6])
    before, after = potential.network.state_dict(), network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith(f"{HEAD}mlp."))
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())
    assert _expect_by_element(network, graphs[6:]) == pytest.approx((OXYGEN_ERROR, HYDROGEN_ERROR), abs=0.01)
    assert _expect_by_element(potential.network, graphs[6:]) != pytest.approx((OXYGEN_ERROR, HYDROGEN_ERROR), abs=0.01)


def _expect_by_element(network: Orb, graphs: list[LabelledGraph]) -> tuple[float, float]:
    atoms = compute_atom_errors(network, graphs)
    expected = expect_errors(require_head(network), atoms.features)
    oxygen = torch.cat([graph.atomic_numbers for graph in graphs]) == 8
    return float(expected[oxygen].mean()), float(expected[~oxygen].mean())


def test_errors_beyond_the_last_bin_are_expected_only_where_they_count(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    beyond = [
        replace(graph, forces=torch.where(graph.atomic_numbers[:, None] == 8, 10.0 * graph.forces + 9.0, graph.forces))
        for graph in graphs
    ]
    counted, left_out = deepcopy(potential.network), deepcopy(potential.network)
    refit_confidence(counted, beyond, "last bin")
    refit_confidence(left_out, beyond, "left out")
    assert _expect_by_element(counted, beyond)[0] > 0.28  # eV/Å; the last bin ends at 0.3
    assert _expect_by_element(left_out, beyond)[0] < 0.2
    far = [replace(graph, forces=graph.forces + 90.0) for graph in graphs]
    with pytest.raises(TrainingError, match="no atom to learn from"):
        refit_confidence(left_out, far, "left out")
