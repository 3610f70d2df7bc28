"""Rollouts: dynamics from held-out frames decide beside the force error which weights are kept."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.conftest import CONSERVATIVE, make_settings
from typer.testing import CliRunner

from orbmm.checkpoints.record_in_file import read_training
from orbmm.cli.main import build_app
from orbmm.errors import TrainingError
from orbmm.model.load import load_model
from orbmm.settings.toml import write_settings
from orbmm.settings.training import OptimizerSettings, TrainingRunSettings, TrainingSettings, ValidationSettings
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.steps import loop
from orbmm.training.validation.rollout import STABLE, choose_frames, find_bonds, roll_out

SHORT = ValidationSettings(rollout_ps=0.05)


@pytest.fixture(scope="module")
def potential():  # type: ignore[no-untyped-def]
    return load_model(CONSERVATIVE, device="cpu", precision="float32-highest")


def test_the_bonds_of_water_are_found(potential, frames: list[Frame]) -> None:  # type: ignore[no-untyped-def]
    for frame in frames[:2]:  # a drop and a box
        waters = range(0, len(frame.atomic_numbers), 3)
        assert find_bonds(frame, potential.record).tolist() == [[o, o + h] for o in waters for h in (1, 2)]


def test_dynamics_of_a_good_network_are_stable_and_of_a_spoilt_one_are_not(potential, frames: list[Frame]) -> None:  # type: ignore[no-untyped-def]
    assert roll_out(potential.network, potential.record, frames[:2], SHORT) == STABLE
    spoilt = deepcopy(potential.network)
    with torch.no_grad():
        spoilt.heads["energy"].mlp.linear_layers[-1].weight.mul_(-3.0)
    said = roll_out(spoilt, potential.record, frames[:2], SHORT)
    assert said.startswith("water.npz, frame 0: ") and ("is broken" in said or "temperature" in said), said


def test_dynamics_start_from_the_calmest_frame_of_each_group(frames: list[Frame]) -> None:
    assert choose_frames(frames, ValidationSettings()) == []
    sizes = [5.0, 1.0, 2.0, 9.0, 3.0, 1.5]
    given = [
        replace(frame, forces=np.full_like(frame.forces, size), group="ab"[number % 2])
        for number, (frame, size) in enumerate(zip(frames, sizes, strict=False))
    ]
    chosen = choose_frames(given, replace(SHORT, rollout_frames=4))
    assert [frame.forces.max() for frame in chosen] == [1.0, 2.0, 1.5, 3.0]  # of b, of a, then the calmest others
    with pytest.raises(TrainingError, match="none is held out"):
        choose_frames([], SHORT)


@pytest.fixture
def settings(potential, frames: list[Frame], tmp_path: Path) -> TrainingSettings:  # type: ignore[no-untyped-def]
    """A training that goes on with the shipped network, and validates after each of its three steps."""
    labelled = []
    for frame in frames:
        own = potential.predict(frame.atomic_numbers, frame.positions, frame.cell)
        noise = np.random.default_rng(1).normal(0.0, 0.02, own.forces.shape)
        labelled.append(replace(frame, energy=own.energy, forces=own.forces + noise))
    write_frames(tmp_path / "frames.npz", labelled)
    made = make_settings(tmp_path, from_scratch=False)
    return replace(
        made,
        data=replace(made.data, validation_share=0.2),
        validation=SHORT,
        optimizer=OptimizerSettings(steps=3, edges_per_batch=200, learning_rate=1e-4),
        run=TrainingRunSettings(output=tmp_path / "out", validate_every=1, patience=3),
    )


def _train(settings: TrainingSettings, folder: Path, ends: list[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Call orbmm train, with dynamics that end as given."""
    said = iter(ends)
    monkeypatch.setattr(loop, "roll_out", lambda *_: next(said))
    write_settings(settings, folder / "training.toml")
    return CliRunner().invoke(build_app(), ["train", str(folder / "training.toml")])


def test_only_weights_with_stable_dynamics_are_kept(
    settings: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _train(settings, tmp_path, ["it broke", STABLE, "it broke"], monkeypatch)
    assert result.exit_code == 0, result.output
    assert read_training(tmp_path / "out" / "mine.safetensors")["steps"] == 2
    assert result.output.count("it broke") == 2
    assert "it broke" in (tmp_path / "out" / "history.csv").read_text("utf-8")


@pytest.mark.parametrize("patience", [0, 3])
def test_a_network_that_breaks_is_not_called_done(
    patience: int, settings: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(settings, run=replace(settings.run, patience=patience))
    result = _train(changed, tmp_path, [STABLE if not patience else "it broke"] * 2 + ["it broke"], monkeypatch)
    assert result.exit_code == 3, result.output
    assert "dynamics with the trained weights break: it broke" in result.stderr and "next:" not in result.output
    assert read_training(tmp_path / "out" / "mine.safetensors")["steps"] == 3


def test_a_whole_training_with_dynamics(settings: TrainingSettings, tmp_path: Path) -> None:
    write_settings(replace(settings, run=replace(settings.run, validate_every=3)), tmp_path / "training.toml")
    result = CliRunner().invoke(build_app(), ["train", str(tmp_path / "training.toml")])
    assert result.exit_code == 0 and "stable" in result.output, result.output
    assert "acts through" not in result.output
