"""A batch means what its frames mean, also where it is rotated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.conftest import CONSERVATIVE, DIRECT

from orbmm.checkpoints.catalog import find_record
from orbmm.model.load import load_model
from orbmm.training.data.batches import join_graphs, prepare_frame, random_rotation, rotate_stress
from orbmm.training.data.frames import Frame

MODELS = [CONSERVATIVE, DIRECT]


def test_random_rotations_are_proper() -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        turn = random_rotation(generator)
        torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-6, rtol=0)
        assert torch.linalg.det(turn).item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("periodic", [True, False])
def test_a_batch_gives_each_frame_what_inference_gives_it(name: str, periodic: bool, frames: list[Frame]) -> None:
    """Inference removes the net torque of a direct network's forces without a cell, and so must a batch."""
    potential = load_model(name, device="cpu", precision="float32-highest")
    chosen = [frame for frame in frames if (frame.cell is not None) == periodic]
    graphs = [prepare_frame(frame, potential.record) for frame in chosen]
    together = potential.network(join_graphs(graphs).graph, {"energy", "forces"})
    alone = [potential.predict(frame.atomic_numbers, frame.positions, frame.cell) for frame in chosen]
    # float32 sums in another order: a few units in the seventh digit of forces of some eV/Å
    forces = torch.cat([torch.from_numpy(one.forces) for one in alone]).float()
    torch.testing.assert_close(together.forces, forces, atol=3e-5, rtol=3e-5)
    energies = torch.tensor([one.energy for one in alone], dtype=torch.float64)
    torch.testing.assert_close(together.energy, energies, atol=1e-4, rtol=0)
    assert not torch.allclose(together.forces, forces.flip(0), atol=1e-2)


def test_a_rotated_batch_carries_its_labels_along(frames: list[Frame]) -> None:
    graph = prepare_frame(frames[1], find_record(CONSERVATIVE))
    still, turned = join_graphs([graph]), join_graphs([graph], torch.Generator().manual_seed(1))
    for name in ("vectors", "positions"):
        overlap = getattr(still.graph, name)[1:3] @ still.forces[1:3].T
        found = getattr(turned.graph, name)[1:3] @ turned.forces[1:3].T
        torch.testing.assert_close(found, overlap, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(turned.forces, still.forces)


def test_the_stress_of_a_turned_cell_is_the_turned_stress(frames: list[Frame]) -> None:
    """The network gives the stress of the turned box from its coordinates; no formula of ours takes part in that."""
    potential = load_model(CONSERVATIVE, device="cpu", precision="float64")
    frame, turn = frames[1], random_rotation(torch.Generator().manual_seed(5)).double()
    turn = torch.linalg.qr(turn)[0] * torch.sign(torch.linalg.det(torch.linalg.qr(turn)[0]))  # proper to 1e-16
    still = potential.predict(frame.atomic_numbers, frame.positions, frame.cell).stress
    turned = potential.predict(frame.atomic_numbers, frame.positions @ turn.numpy(), frame.cell @ turn.numpy()).stress
    expected = rotate_stress(torch.from_numpy(still), turn).numpy()
    size = np.abs(turned).max()
    # the network is invariant to about a percent only
    np.testing.assert_allclose(expected, turned, atol=0.03 * size)
    assert np.abs(rotate_stress(torch.from_numpy(still), turn.T).numpy() - turned).max() > 0.1 * size
