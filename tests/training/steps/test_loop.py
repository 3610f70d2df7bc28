"""A training learns what it is shown, and a resumed one is the same one."""

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
from orbmm.training.data.batches import join_graphs, prepare_frame
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.steps import loop
from orbmm.training.steps.loop import train

MODELS = [CONSERVATIVE, DIRECT]


def test_frames_with_and_without_a_cell_share_no_batch(frames: list[Frame]) -> None:
    graphs = [prepare_frame(frame, find_record(CONSERVATIVE)) for frame in frames]
    with pytest.raises(ModelError, match="with and without a cell"):
        join_graphs(graphs)
    settings = make_settings(Path("unused"), edges_per_batch=2000)
    kinds = {loop._draw(graphs, settings, step).graph.cells is None for step in range(20)}
    assert kinds == {True, False}


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
