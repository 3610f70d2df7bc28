"""Training: frames survive the disk, batches mean what their frames mean, and a resumed training is the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training.conftest import CONSERVATIVE, DIRECT, make_settings

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import ModelError, TrainingError
from orbmm.model.load import load_model, make_network
from orbmm.model.network.orb import Prediction
from orbmm.settings.training import LossSettings
from orbmm.training import loop
from orbmm.training.batches import join_graphs, prepare_frame, random_rotation, rotate_stress
from orbmm.training.dataset import Frame, read_frames, write_frames
from orbmm.training.loop import train
from orbmm.training.losses import compute_energy_loss, compute_force_loss, compute_stress_loss
from orbmm.training.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.start import fit_reference_energies, solve_composition

MODELS = [CONSERVATIVE, DIRECT]


def test_frames_come_back_as_they_were_written(frames: list[Frame], tmp_path: Path) -> None:
    frames[1] = replace(frames[1], stress=np.arange(6.0), charge=-1, multiplicity=2)
    write_frames(tmp_path / "frames.npz", frames)
    for before, after in zip(frames, read_frames(tmp_path / "frames.npz"), strict=True):
        for name in ("group", "energy", "charge", "multiplicity"):
            assert getattr(after, name) == getattr(before, name)
        for name in ("atomic_numbers", "positions", "peptide", "forces", "cell", "stress"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_frames_without_labels_come_back_without_labels(frames: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.npz", [replace(frame, energy=None, forces=None) for frame in frames])
    assert not any(frame.is_labelled for frame in read_frames(tmp_path / "frames.npz"))


def test_partly_labelled_frames_are_refused(frames: list[Frame], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="partly labelled"):
        write_frames(tmp_path / "frames.npz", [replace(frames[0], energy=None), *frames[1:]])


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


def test_frames_with_and_without_a_cell_share_no_batch(frames: list[Frame]) -> None:
    graphs = [prepare_frame(frame, find_record(CONSERVATIVE)) for frame in frames]
    with pytest.raises(ModelError, match="with and without a cell"):
        join_graphs(graphs)
    settings = make_settings(Path("unused"), edges_per_batch=2000)
    kinds = {loop._draw(graphs, settings, step).graph.cells is None for step in range(20)}
    assert kinds == {True, False}


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


def test_reference_energies_of_a_sum_of_atoms_are_found(frames: list[Frame]) -> None:
    exact = [replace(frame, energy=float(-10.0 * len(frame.atomic_numbers))) for frame in frames]
    reference, mean = fit_reference_energies(exact)
    total = reference[frames[0].atomic_numbers].sum() + mean * len(frames[0].atomic_numbers)
    assert total == pytest.approx(exact[0].energy, abs=1e-3)


def test_the_energy_of_each_element_is_found_from_several_compositions() -> None:
    counts = np.zeros((4, 118), dtype=int)
    counts[:, 1], counts[:, 8] = [2, 4, 2, 0], [1, 1, 2, 3]
    solved = solve_composition(counts, counts @ np.where(np.arange(118) == 1, -13.0, -430.0))
    assert solved[1] == pytest.approx(-13.0, abs=2e-3) and solved[8] == pytest.approx(-430.0, abs=2e-3)
    assert not solved[np.setdiff1d(np.arange(118), [1, 8])].any()


def test_a_perfect_prediction_costs_nothing_and_an_imperfect_one_does(frames: list[Frame]) -> None:
    chosen = [replace(frame, stress=np.full(6, 0.01)) for frame in frames if frame.cell is not None]
    batch = join_graphs([prepare_frame(frame, find_record(CONSERVATIVE)) for frame in chosen])
    right = Prediction(batch.energies, batch.forces, batch.stress)
    for prediction, is_right in (
        (right, True),
        (Prediction(batch.energies + 1.0, 1.1 * batch.forces, 1.1 * batch.stress), False),
    ):
        losses = [
            compute_force_loss(prediction, batch, LossSettings(), force_scale=1.0),
            compute_energy_loss(prediction, batch),
            compute_stress_loss(prediction, batch),
        ]
        assert all((loss.item() == 0.0) == is_right for loss in losses)


def test_the_force_loss_is_that_of_torch(frames: list[Frame]) -> None:
    batch = join_graphs([prepare_frame(frames[1], find_record(CONSERVATIVE))])
    errors = torch.linspace(-2.0, 2.0, batch.forces.numel()).reshape(batch.forces.shape)
    prediction = Prediction(forces=batch.forces + errors)
    loss = compute_force_loss(prediction, batch, LossSettings(solute_weight=1.0, huber_delta=0.3), force_scale=1.0)
    expected = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=0.3)
    torch.testing.assert_close(loss, expected)
    bent = LossSettings(solute_weight=1.0, huber_delta=0.3, conditional=True)
    large = replace(batch, forces=batch.forces * 100.0)
    conditional = compute_force_loss(Prediction(forces=large.forces + errors), large, bent, force_scale=1.0)
    expected = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=0.03)
    torch.testing.assert_close(conditional, expected, atol=2e-4, rtol=1e-3)  # a force near zero may be among them


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_training_equals_an_uninterrupted_one(name: str, frames: list[Frame], tmp_path: Path) -> None:
    whole = _train(frames, tmp_path / "whole", name)
    _interrupt_halfway(frames, tmp_path / "parts", name)
    resumed = _train(frames, tmp_path / "parts", name)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    other = _train(frames, tmp_path / "other", name, seed=2)
    assert not all(torch.equal(whole[key], other[key]) for key in whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "seed = 1"),
        ({"learning_rate": 1e-3}, "learning_rate = 0.008"),
        ({"huber_delta": 0.1}, "huber_delta = 0.5"),
        ({}, "other frames"),
    ],
)
def test_a_resumed_training_keeps_its_settings_and_data(
    change: dict[str, object], said: str, frames: list[Frame], tmp_path: Path
) -> None:
    _train(frames, tmp_path, steps=2)
    used = frames if change else [replace(frames[0], energy=-300.0), *frames[1:]]
    with pytest.raises(TrainingError, match=said):
        _train(used, tmp_path, steps=2, **change)


def _train(frames: list[Frame], folder: Path, name: str = CONSERVATIVE, **changes: object) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    settings = make_settings(folder, name, **changes)
    return load_file(train(prepare_task(settings, LabelledData(frames, []), folder)).weights)


def _interrupt_halfway(frames: list[Frame], folder: Path, name: str) -> None:
    """Train until a save was just written, as a killed process does."""
    original = loop._draw

    class Killed(Exception):
        pass

    def draw_or_die(graphs: object, settings: object, step: int, *more: object) -> object:
        if step == 2:
            raise Killed
        return original(graphs, settings, step, *more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "_draw", draw_or_die)
        _train(frames, folder, name)


def test_training_lowers_the_error_on_what_it_was_shown(frames: list[Frame], tmp_path: Path) -> None:
    """Forces that pull each oxygen between its hydrogens, and these back: a lesson of one line."""
    record = find_record(DIRECT)
    shown = [replace(frame, forces=_pull_together(frame.positions)) for frame in frames if frame.cell is None]
    batch = join_graphs([prepare_frame(frame, record) for frame in shown])
    fresh = make_network(record).float()(batch.graph, {"forces"}).forces
    settings = make_settings(tmp_path, DIRECT, steps=60, edges_per_batch=600, save_every=60)
    trained = train(prepare_task(settings, LabelledData(shown, []), tmp_path))
    taught = load_model(str(trained.weights), device="cpu").network(batch.graph, {"forces"}).forces
    assert (taught - batch.forces).abs().mean() < 0.5 * (fresh - batch.forces).abs().mean()


def _pull_together(positions: np.ndarray) -> np.ndarray:
    oxygen, first, second = positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    pull = 0.5 * (first + second) - oxygen
    return np.stack([pull, -0.5 * pull, -0.5 * pull], axis=1).reshape(-1, 3)
