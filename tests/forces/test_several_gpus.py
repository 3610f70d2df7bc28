"""Where there are several GPUs, the network is loaded once, on the one that OpenMM computes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from forces.test_on_a_stand_in_gpu import CPU, DIRECT, SECOND, are_close, describe, evaluate_on_cpu, put
from oracles.stand_in_gpu.device import stand_in_gpu
from safetensors.torch import load_file, save_file

from orbmm.errors import CheckpointError
from orbmm.forces import evaluator_cache, resolve
from orbmm.forces.attach import create_system, load_ahead
from orbmm.forces.confidence import open_confidence
from orbmm.forces.dispersion import DispersionDescription
from orbmm.forces.evaluator_cache import count_networks, find_evaluator, forget_evaluators
from orbmm.forces.kinds import ForceKind
from orbmm.forces.torch_force import energy_and_forces
from orbmm.settings.model import ModelSettings

TORCH_FORCE = ForceKind("TorchForce", True, "named here, whatever is installed")
FREE_BYTES = (2**31, 2**34)  # the second GPU has room for larger blocks
UNCHECKED = {"precision": "float64", "first_contact": "skip"}


@pytest.fixture(autouse=True)
def two_gpus() -> Iterator[None]:
    forget_evaluators()  # those of other tests
    with stand_in_gpu(devices=2, free_bytes=FREE_BYTES):
        yield
        forget_evaluators()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The device of each network, in the order in which they are loaded."""
    devices: list[str] = []
    load = evaluator_cache.load_model

    def note(name: str, weights: object, device: str, *rest: object) -> object:
        devices.append(device)
        return load(name, weights, device, *rest)

    monkeypatch.setattr(evaluator_cache, "load_model", note)
    return devices


@pytest.fixture
def as_torch_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "choose_force_kind", lambda wanted, kinds: TORCH_FORCE)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_the_network_is_loaded_once_on_the_gpu_that_openmm_took(
    device: str, make_water, loaded, as_torch_force
) -> None:
    water = make_water("cube")
    description = describe(water, DIRECT, device)
    model = resolve.resolve_model(ModelSettings(DIRECT, device=device, **UNCHECKED))
    load_ahead(description.to_json(), model.device)
    assert (loaded, count_networks()) == (["cpu"], 0), "the weights are checked, and nothing is kept"
    found = energy_and_forces(description.to_json(), *put(water, SECOND))
    assert (loaded, count_networks()) == (["cpu", "cuda:1"], 1)
    assert found[1].device == SECOND and are_close(found, evaluate_on_cpu(water, DIRECT, None, torch.float64))
    beside = open_confidence(water.topology, ModelSettings(DIRECT, device=device, edges_per_block=300, **UNCHECKED))
    assert beside.measure(water.positions, water.box).errors.shape == (24,)
    assert loaded[2:] == ["cpu"] and count_networks() == 2, "of these two, one is the reference on the CPU"


@pytest.mark.parametrize("device, expected", [("cuda:1", "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")])
def test_a_device_with_a_number_is_loaded_at_once(
    device: str, expected: str, make_water, loaded, as_torch_force
) -> None:
    model = resolve.resolve_model(ModelSettings(DIRECT, device=device, **UNCHECKED))
    load_ahead(describe(make_water("cube"), DIRECT, device).to_json(), model.device)
    assert (loaded, count_networks()) == ([expected], 1)


def test_a_python_force_loads_once_before_the_first_step(make_water, loaded, compute) -> None:
    """Its coordinates come through NumPy, so that OpenMM's GPU makes no difference."""
    water = make_water("cube")
    system = create_system(water.topology, ModelSettings(DIRECT, force="PythonForce", **UNCHECKED))
    assert loaded == ["cuda:0"]
    compute(system, water.positions)
    assert loaded == ["cuda:0"]


def test_damaged_weights_are_refused_before_openmm_has_chosen(
    make_water, tmp_path: Path, random_weights, as_torch_force
) -> None:
    tensors = load_file(random_weights(DIRECT))
    name = next(iter(tensors))
    damaged = tmp_path / "damaged.safetensors"
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, damaged)
    model = ModelSettings(DIRECT, weights=damaged, **UNCHECKED)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        create_system(make_water("cube").topology, model)


def test_a_run_takes_the_gpu_of_openmm_and_its_memory(as_torch_force, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = {}
    for card in ("cuda:0", "cuda:1"):
        monkeypatch.setattr(resolve, "find_openmm_card", lambda card=card: torch.device(card))
        model = resolve.resolve_for_run(ModelSettings("orb-v3-direct-inf-omat"), 1000, 100_000)
        assert str(model.device) == card and model.settings.device == "auto"
        blocks[card] = model.settings.edges_per_block
    assert blocks["cuda:1"] == 8 * blocks["cuda:0"] == blocks["cuda:0"] * FREE_BYTES[1] // FREE_BYTES[0]


def test_a_run_with_a_numbered_gpu_does_not_ask_openmm(as_torch_force, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "find_openmm_card", lambda: pytest.fail("a Context was opened in vain"))
    assert str(resolve.resolve_for_run(ModelSettings(DIRECT, device="cuda:1"), 10, None).device) == "cuda:1"
    with stand_in_gpu(devices=1):
        assert str(resolve.resolve_for_run(ModelSettings(DIRECT), 10, None).device) == "cuda:0"


def test_without_a_cuda_platform_openmm_takes_no_gpu() -> None:
    names = [openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())]
    if "CUDA" in names:
        pytest.skip("this OpenMM has a CUDA platform")
    assert resolve.find_openmm_card() is None


def test_a_system_with_another_device_index_stays_on_its_gpu(make_water) -> None:
    """Two Contexts with one description, each on a GPU: neither moves the network of the other."""
    water, description = make_water("sheared"), describe(make_water("sheared"), DIRECT, "auto").to_json()
    first = find_evaluator(description, torch.device("cuda:0"))
    second = find_evaluator(description, SECOND)
    for _ in range(2):
        assert find_evaluator(description, torch.device("cuda:0")) is first
        assert find_evaluator(description, SECOND) is second
    assert first.device != second.device
    np.testing.assert_array_equal(*(each.evaluate(*put(water, each.device))[1].cpu() for each in (first, second)))
    assert find_evaluator(description, CPU) is second


def test_the_dispersion_is_computed_where_the_network_is(make_water, as_torch_force) -> None:
    water = make_water("cube")
    network = describe(water, DIRECT, "auto")
    text = DispersionDescription.beside(network, "d3bj-pbe").to_json()
    load_ahead(text, resolve.resolve_model(ModelSettings(DIRECT, **UNCHECKED)).device)
    assert find_evaluator(text, SECOND).device == SECOND  # its kernels bypass torch, so nothing is computed here
    assert find_evaluator(text, CPU).device == SECOND
