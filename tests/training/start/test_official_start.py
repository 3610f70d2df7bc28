"""An official checkpoint is trained further, and orb-models loads the result as one of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.orb_models_reference import (
    VARIANTS,
    build_official_model,
    evaluate_official_model,
    require_orb_models,
    write_official_weights,
)
from oracles.structures import Structure
from safetensors.torch import load_file
from training.conftest import make_settings

from orbmm.errors import CheckpointError, SettingsError
from orbmm.model.load import load_model
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.steps.loop import train


@pytest.mark.parametrize("name", ["orb-v3-direct-inf-omat", "orb-v3-conservative-omol"])
def test_a_trained_official_network_is_one_of_orb_models(name: str, frames: list[Frame], tmp_path: Path) -> None:
    require_orb_models()
    variant = VARIANTS[name]
    official = write_official_weights(variant, tmp_path / "official.ckpt", seed=3)
    chosen = frames[:2]
    if variant.omol:
        chosen = [replace(frame, charge=0, multiplicity=1) for frame in chosen]
    settings = make_settings(
        tmp_path, name, from_scratch=False, weights=official, steps=1, edges_per_batch=10, optimizer="adamw"
    )
    trained = train(prepare_task(settings, LabelledData(chosen, []), tmp_path))
    torch.save(load_file(trained.weights), tmp_path / "again.ckpt")
    oracle = build_official_model(variant, tmp_path / "again.ckpt")
    structure = Structure("waters", chosen[0].atomic_numbers, chosen[0].positions, chosen[0].cell)
    charge = {"charge": 0, "multiplicity": 1} if variant.omol else {}
    expected = evaluate_official_model(oracle, structure, **charge)
    ours = load_model(str(trained.weights), device="cpu", precision="float64")
    found = ours.predict(chosen[0].atomic_numbers, chosen[0].positions, chosen[0].cell, **charge)
    size = float(np.abs(expected.forces).max())
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-9 * size)
    before = load_model(name, official, device="cpu", precision="float64")
    first = before.predict(chosen[0].atomic_numbers, chosen[0].positions, chosen[0].cell, **charge)
    assert np.abs(first.forces - expected.forces).max() > 1e-6 * size, "one step changed the weights"


def test_a_torn_checkpoint_is_refused_as_for_a_simulation(frames: list[Frame], tmp_path: Path) -> None:
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04 torn")
    settings = make_settings(tmp_path, "orb-v3-direct-inf-omat", from_scratch=False, weights=tmp_path / "torn.ckpt")
    with pytest.raises(CheckpointError, match="torn"):
        prepare_task(settings, LabelledData(frames, []), tmp_path)


def test_a_start_that_is_a_file_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="start is 'mine.safetensors', a file: name it as weights"):
        make_settings(tmp_path, "mine.safetensors", from_scratch=False)
