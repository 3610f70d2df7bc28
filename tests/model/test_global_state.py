"""Loading a model and predicting with it leave the rest of the process as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.random_weights import randomize_state_dict
from oracles.structures import MAKERS

from orbmm.checkpoints.catalog import find_record
from orbmm.model.load import load_model, make_network
from orbmm.settings.model import PRECISIONS


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file for the embedded conservative model, which is small."""
    tensors = make_network(find_record("orb-mini-conservative-inf-xtb")).state_dict()
    path = tmp_path_factory.mktemp("weights") / "random.ckpt"
    torch.save(randomize_state_dict(tensors, seed=1, omol=False), path)
    return path


@pytest.fixture
def unusual_settings() -> Iterator[None]:
    """Global settings none of which is torch's default, so that a reset to the default is noticed too."""
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    with torch.inference_mode(False), torch.enable_grad():
        yield
    torch.set_default_dtype(before[0])
    torch.set_float32_matmul_precision(before[1])


def list_settings() -> dict[str, object]:
    numpy_state = np.random.get_state(legacy=False)["state"]
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "matrix precision": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "torch random state": torch.get_rng_state().tolist(),
        "numpy random state": (numpy_state["key"].tolist(), numpy_state["pos"]),
    }


@pytest.mark.parametrize("precision", PRECISIONS)
def test_loading_and_predicting_leave_global_settings_alone(
    unusual_settings: None, weights: Path, precision: str
) -> None:
    before = list_settings()
    structure = MAKERS["water_sheared"]()
    model = load_model("orb-mini-conservative-inf-xtb", weights=weights, device="cpu", precision=precision)
    after_loading = list_settings()
    model.predict(structure.atomic_numbers, structure.positions, structure.cell)
    assert after_loading == before
    assert list_settings() == before


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_default_dtype_does_not_change_a_prediction(weights: Path, precision: str) -> None:
    structure = MAKERS["water_sheared"]()

    def predict() -> tuple[float, np.ndarray]:
        model = load_model("orb-mini-conservative-inf-xtb", weights=weights, device="cpu", precision=precision)
        prediction = model.predict(structure.atomic_numbers, structure.positions, structure.cell)
        return prediction.energy, prediction.forces

    energy, forces = predict()
    torch.set_default_dtype(torch.float64)
    try:
        other_energy, other_forces = predict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert energy == other_energy
    np.testing.assert_array_equal(forces, other_forces)


def test_conservative_forces_need_no_gradient_mode_of_the_caller(weights: Path) -> None:
    structure = MAKERS["molecule"]()
    model = load_model("orb-mini-conservative-inf-xtb", weights=weights, device="cpu")
    outside = model.predict(structure.atomic_numbers, structure.positions).forces
    with torch.no_grad():
        inside = model.predict(structure.atomic_numbers, structure.positions).forces
    np.testing.assert_array_equal(inside, outside)
