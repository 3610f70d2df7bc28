"""The device of a training and the precision of its steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracles.stand_in_gpu.device import stand_in_gpu
from safetensors.torch import load_file
from training.conftest import CONSERVATIVE, DIRECT, make_settings

from orbmm.errors import DeviceError
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.steps.loop import train
from orbmm.training.steps.task import Trained

MODELS = [CONSERVATIVE, DIRECT]


def _train(frames: list[Frame], folder: Path, name: str, **changes: object) -> Trained:
    folder.mkdir(exist_ok=True)
    settings = make_settings(folder, name, validate_every=2, **changes)
    return train(prepare_task(settings, LabelledData(frames[:8], frames[8:]), folder))


@pytest.mark.parametrize("name", MODELS)
def test_a_training_on_a_gpu_is_the_one_on_the_cpu(name: str, frames: list[Frame], tmp_path: Path) -> None:
    """The stand-in refuses operands on two devices, and computes on the CPU, some sums in another order."""
    on_cpu = _train(frames, tmp_path / "cpu", name, device="cpu")
    with stand_in_gpu() as operators:
        on_gpu = _train(frames, tmp_path / "gpu", name, device="cuda:0")
    assert operators.moved
    cpu, gpu = load_file(on_cpu.weights), load_file(on_gpu.weights)
    assert (_flatten(cpu) - _flatten(gpu)).norm() < 1e-3 * _flatten(cpu).norm()
    errors = [end.after["all"].forces_mev_per_angstrom for end in (on_cpu, on_gpu)]
    assert errors[1] == pytest.approx(errors[0], rel=1e-4)


def test_an_absent_device_is_refused(frames: list[Frame], tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        _train(frames, tmp_path, CONSERVATIVE, device="cuda:7")


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_trains_nearly_the_same_network_in_float32(
    name: str, frames: list[Frame], tmp_path: Path
) -> None:
    """The weights stay float32, and move by about what they move in float32; another seed moves them elsewhere."""
    arms = {"float32": {}, "bfloat16": {"precision": "bfloat16"}, "other": {"seed": 2}}
    start = load_file(_train(frames, tmp_path / "start", name, steps=1, learning_rate=0.0).weights)
    found = {arm: load_file(_train(frames, tmp_path / arm, name, **words).weights) for arm, words in arms.items()}
    assert all(tensor.dtype == start[key].dtype for key, tensor in found["bfloat16"].items())
    moved = {arm: _flatten(weights) - _flatten(start) for arm, weights in found.items()}
    likeness = torch.cosine_similarity(moved["float32"], moved["bfloat16"], dim=0)
    assert 0.5 < likeness < 0.99999
    assert float(moved["bfloat16"].norm()) == pytest.approx(float(moved["float32"].norm()), rel=0.1)
    assert torch.cosine_similarity(moved["float32"], moved["other"], dim=0) < likeness - 0.2


def _flatten(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.double().ravel() for name, tensor in weights.items() if "mlp" in name or "model" in name])
