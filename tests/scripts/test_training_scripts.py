"""The studies of training: noise whose forces point back, and arms that are measured only once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from orbmm.run_files.energies import COLUMNS, LAST_COLUMN
from orbmm.run_files.layout import RunFolder
from orbmm.training.data.frames import Frame


@pytest.fixture
def frame() -> Frame:
    random = np.random.default_rng(0)
    forces = random.normal(0.0, 2.0, (200, 3))
    peptide = np.zeros(200, dtype=bool)
    return Frame(np.ones(200, dtype=np.int64), random.uniform(0, 20, (200, 3)), None, peptide, "gas", 0.0, forces)


def test_forces_of_noise_point_back_and_have_the_size_of_the_labels(
    frame: Frame, load_script: Callable[[str], ModuleType]
) -> None:
    moved = load_script("scripts/study/denoising.py").add_noise([frame], copies=3, width_angstrom=0.05)
    assert len(moved) == 3
    for one in moved:
        noise = one.positions - frame.positions
        assert 0.045 < noise.std() < 0.055
        stiffness = -one.forces / noise
        np.testing.assert_allclose(stiffness, np.sqrt((frame.forces**2).mean()) / 0.05, rtol=1e-6)
    assert not np.allclose(moved[0].positions, moved[1].positions), "each copy has noise of its own"


def test_an_arm_is_measured_once_for_the_same_frames_and_rotations(
    load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    script = load_script("scripts/study/equigrad.py")
    kept = {"frames": 16, "rotations": script.ROTATIONS, "validation_sha256": "held"}
    kept["arms"] = {"0.2": {"weights_sha256": "abc", "energy_mev": [4.0]}}
    path = tmp_path / "equigrad-fine-tune.json"
    assert script.read_measured(path, 16, "held") == {}, "no file yet"
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert script.read_measured(path, 16, "held") == {"abc": kept["arms"]["0.2"]}
    assert script.read_measured(path, 8, "held") == {}, "fewer frames"
    assert script.read_measured(path, 16, "other") == {}, "other frames"


def test_a_rollout_says_how_far_it_came_and_how_warm_its_second_half_was(
    load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    head = ",".join([*COLUMNS, LAST_COLUMN])
    rows = [f"{step},{step / 100},-1,1,0,{kelvin},1" for step, kelvin in ((0, 400), (10, 350), (20, 310), (40, 290))]
    (tmp_path / "energies.csv").write_text("\n".join([head, *rows, "60,0.6,-1"]), encoding="utf-8")
    (tmp_path / "student.safetensors").write_bytes(b"weights")
    describe = load_script("scripts/study/distillation.py").describe_rollout
    seen = describe(RunFolder(tmp_path), 20.0, tmp_path / "student.safetensors")
    assert (seen["length_ps"], seen["reached_ps"]) == (20.0, 0.4), "the row that is still written does not count"
    assert (seen["temperature_kelvin"], seen["temperature_deviation_kelvin"]) == (300.0, 10.0)
    assert seen["highest_temperature_kelvin"] == 400.0
