"""The rotational gradient against rotations, and the penalty on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles.random_weights import make_random_potential
from training.conftest import CONSERVATIVE

from orbmm.checkpoints.catalog import find_record
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import Orb, Prediction
from orbmm.training.data.batches import join_graphs, prepare_frame
from orbmm.training.data.frames import Frame
from orbmm.training.steps.losses import compute_rotation_loss

STEP = 3e-4  # rad
STENCIL = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}  # central differences of fourth order


@pytest.fixture
def network() -> Orb:
    """A network with random weights, whose energy depends on orientation."""
    return make_random_potential(CONSERVATIVE).network


def make_graph(frame: Frame) -> AtomGraph:
    """Return the graph of a frame in float64."""
    graph = join_graphs([prepare_frame(frame, find_record(CONSERVATIVE))]).graph
    return replace(graph, vectors=graph.vectors.double(), positions=graph.positions.double())


def differentiate_numerically(network: Orb, graph: AtomGraph) -> torch.Tensor:
    """Return dE/dG of the energy after exp(G - G^T), (3, 3), by central differences."""
    found = torch.zeros(3, 3, dtype=torch.float64)
    for i in range(3):
        for j in range(3):
            for steps, weight in STENCIL.items():
                change = torch.zeros(3, 3, dtype=torch.float64)
                change[i, j] = steps * STEP
                turned = replace(graph, vectors=graph.vectors @ torch.linalg.matrix_exp(change - change.T))
                found[i, j] += weight / STEP * float(network(turned, frozenset({"energy"})).energy)
    return found


@pytest.mark.parametrize("periodic", [True, False])
def test_the_rotational_gradient_is_that_of_central_differences(
    periodic: bool, network: Orb, frames: list[Frame]
) -> None:
    graph = make_graph(frames[1 if periodic else 0])
    prediction = network(graph, frozenset({"rotational_gradient"}))
    expected = differentiate_numerically(network, graph)
    size = float(expected.abs().max())
    assert size > 1e-3
    torch.testing.assert_close(prediction.rotational_gradient[0], expected, atol=1e-8 * size, rtol=0)
    mirrored = prediction.rotational_gradient[0].T
    assert float((mirrored - expected).abs().max()) > size


def test_without_a_cell_it_is_the_net_torque(network: Orb, frames: list[Frame]) -> None:
    graph = make_graph(frames[0])
    prediction = network(graph, frozenset({"forces", "rotational_gradient"}))
    torque = torch.linalg.cross(graph.positions, prediction.forces).sum(dim=0)  # (3,)
    found = prediction.rotational_gradient[0]
    components = torch.stack([found[2, 1], found[0, 2], found[1, 0]])
    # positions were rounded to float32 before the vectors were made from them
    torch.testing.assert_close(components, torque, atol=1e-6 * float(torque.abs().max()), rtol=0)


def test_the_penalty_is_a_share_of_the_force_loss_and_points_downhill(network: Orb, frames: list[Frame]) -> None:
    graph = make_graph(frames[1])
    gradient = network.train().requires_grad_(True)(graph, frozenset({"rotational_gradient"})).rotational_gradient
    loss = compute_rotation_loss(Prediction(rotational_gradient=gradient), torch.tensor(0.5), share=0.2)
    assert float(loss.detach()) == pytest.approx(0.1)
    loss.backward()
    before = torch.linalg.matrix_norm(gradient.detach()).item()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight -= 1e-3 * weight.grad
    after = torch.linalg.matrix_norm(
        network(graph, frozenset({"rotational_gradient"})).rotational_gradient.detach()
    ).item()
    assert after < before
    nothing = compute_rotation_loss(Prediction(rotational_gradient=gradient), torch.tensor(0.5), share=0.0)
    assert nothing.item() == 0.0
