"""Training: frames survive the disk, batches mean what their frames mean, and a resumed training is the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.model.load import load_model, make_network
from orbmm.model.network.orb import Prediction
from orbmm.training import loop
from orbmm.training.batches import join_graphs, prepare_frame, random_rotation
from orbmm.training.dataset import Frame, read_frames, write_frames
from orbmm.training.loop import TrainingSettings, average_weights, fit_reference_energies, train
from orbmm.training.losses import LossWeights, weigh_errors

MODELS = ["orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"]


@pytest.fixture
def frames() -> list[Frame]:
    """Ten loose clusters of water, half of them periodic, with invented labels."""
    generator = np.random.default_rng(7)
    return [_make_frame(generator, waters=2 + index % 3, periodic=bool(index % 2), index=index) for index in range(10)]


def _make_frame(generator: np.random.Generator, waters: int, periodic: bool, index: int) -> Frame:
    water = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = np.concatenate([water + [0.0, 0.0, 3.0 * place] for place in range(waters)])
    positions += generator.normal(0.0, 0.05, positions.shape)
    return Frame(
        atomic_numbers=np.array([8, 1, 1] * waters),
        positions=positions,
        cell=np.diag([8.0, 8.0, 3.0 * waters]) if periodic else None,
        peptide=np.arange(3 * waters) < 3,
        group=f"{'box' if periodic else 'drop'}-{index}",
        energy=-150.0 * waters + generator.normal(0.0, 0.1),
        forces=generator.normal(0.0, 1.0, positions.shape),
    )


def test_frames_come_back_as_they_were_written(frames: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.npz", frames)
    for before, after in zip(frames, read_frames(tmp_path / "frames.npz"), strict=True):
        assert after.group == before.group
        assert after.energy == before.energy
        assert (after.cell is None) == (before.cell is None)
        for name in ("atomic_numbers", "positions", "peptide", "forces"):
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
def test_a_batch_gives_each_frame_what_the_frame_gets_alone(name: str, frames: list[Frame]) -> None:
    potential = load_model(name, device="cpu", precision="float32-highest")
    graphs = [prepare_frame(frame, potential.record.architecture, potential.record.max_neighbors) for frame in frames]
    together = potential.network(join_graphs(graphs).graph, {"energy", "forces"})
    alone = [potential.network(join_graphs([graph]).graph, {"energy", "forces"}) for graph in graphs]
    # float32 sums in another order: a few units in the seventh digit of forces of some eV/Å
    torch.testing.assert_close(together.forces, torch.cat([one.forces for one in alone]), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(together.energy, torch.cat([one.energy for one in alone]), atol=1e-4, rtol=0)
    swapped = torch.cat([one.forces for one in reversed(alone)])
    assert not torch.allclose(together.forces, swapped, atol=1e-2)


def test_a_rotated_batch_carries_its_labels_along(frames: list[Frame]) -> None:
    graph = prepare_frame(frames[1], find_record(MODELS[0]).architecture, 120)
    still, turned = join_graphs([graph]), join_graphs([graph], torch.Generator().manual_seed(1))
    overlap = still.graph.vectors[:1] @ still.forces[:1].T
    torch.testing.assert_close(turned.graph.vectors[:1] @ turned.forces[:1].T, overlap, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(turned.forces, still.forces)


def test_reference_energies_of_a_sum_of_atoms_are_found(frames: list[Frame]) -> None:
    exact = [replace(frame, energy=float(-10.0 * len(frame.atomic_numbers))) for frame in frames]
    reference, mean, deviation = fit_reference_energies(exact)
    total = reference[frames[0].atomic_numbers].sum() + mean * len(frames[0].atomic_numbers)
    assert total == pytest.approx(exact[0].energy, abs=1e-3)
    assert deviation < 1e-6


def test_a_perfect_prediction_costs_nothing_and_an_imperfect_one_does(frames: list[Frame]) -> None:
    batch = join_graphs([prepare_frame(frame, find_record(MODELS[0]).architecture, 120) for frame in frames])
    weights = LossWeights(force_scale=1.0)
    assert weigh_errors(Prediction(batch.energies, batch.forces), batch, weights, 1.0).item() == 0.0
    assert weigh_errors(Prediction(batch.energies, 1.1 * batch.forces), batch, weights, 1.0).item() > 1e-4
    assert weigh_errors(Prediction(batch.energies + 1.0, batch.forces), batch, weights, 1.0).item() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_training_equals_an_uninterrupted_one(name: str, frames: list[Frame], tmp_path: Path) -> None:
    record = find_record(name)
    settings = TrainingSettings(steps=4, edges_per_batch=300, save_every=2)
    whole = load_file(train(record, frames, tmp_path / "whole", settings))
    _interrupt_halfway(record, frames, tmp_path / "parts", settings)
    resumed = load_file(train(record, frames, tmp_path / "parts", settings))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    other = load_file(train(record, frames, tmp_path / "other", replace(settings, seed=2)))
    assert not all(torch.equal(whole[key], other[key]) for key in whole)


def _interrupt_halfway(record: CheckpointRecord, frames: list[Frame], folder: Path, settings: TrainingSettings) -> None:
    """Training that stops where a checkpoint was just written, as a killed process does."""
    calls = 0

    class Killed(Exception):
        pass

    original = loop.join_graphs

    def join_or_die(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise Killed
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "join_graphs", join_or_die)
        train(record, frames, folder, settings)


def test_training_lowers_the_error_on_what_it_was_shown(frames: list[Frame], tmp_path: Path) -> None:
    """Forces that pull each oxygen between its hydrogens, and these back: a lesson of one line."""
    record = find_record("orb-mini-direct-inf-xtb")
    shown = [replace(frame, forces=_pull_together(frame.positions)) for frame in frames]
    batch = join_graphs([prepare_frame(frame, record.architecture, record.max_neighbors) for frame in shown])
    fresh = make_network(record).float()(batch.graph, {"forces"}).forces
    weights = train(record, shown, tmp_path, TrainingSettings(steps=60, edges_per_batch=600, save_every=60))
    trained = load_model(record.name, weights=weights, device="cpu").network(batch.graph, {"forces"}).forces
    assert (trained - batch.forces).abs().mean() < 0.5 * (fresh - batch.forces).abs().mean()


def _pull_together(positions: np.ndarray) -> np.ndarray:
    oxygen, first, second = positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    pull = 0.5 * (first + second) - oxygen
    return np.stack([pull, -0.5 * pull, -0.5 * pull], axis=1).reshape(-1, 3)


def test_a_training_that_begins_with_two_files_begins_with_their_mean(frames: list[Frame], tmp_path: Path) -> None:
    record = find_record(MODELS[0])
    short = TrainingSettings(steps=2, edges_per_batch=100)
    ends = [train(record, frames, tmp_path / str(seed), replace(short, seed=seed)) for seed in (1, 2)]
    mean = average_weights(ends)
    first, second = (load_file(end) for end in ends)
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)
    assert any(not torch.equal(first[name], tensor) for name, tensor in mean.items())
    none = train(record, frames, tmp_path / "none", replace(short, steps=1, learning_rate=0.0), ends)
    torch.testing.assert_close(load_file(none), mean, atol=1e-6, rtol=1e-5)
