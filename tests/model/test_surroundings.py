"""A prediction depends on its arguments alone, whatever the process has set and in whatever form they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from oracles.structures import MAKERS

from orbmm.errors import ModelError, StructureError
from orbmm.model.load import load_model
from orbmm.model.potential import Potential, read_lengths
from orbmm.model.precision import find_precision
from orbmm.settings import ModelSettings

MODELS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
WATER = MAKERS["water_sheared"]()
CPU = torch.device("cpu")


def predict(model: Potential) -> np.ndarray:
    """Energy and forces in one array."""
    prediction = model.predict(WATER.atomic_numbers, WATER.positions, WATER.cell)
    return np.append(prediction.forces, prediction.energy)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def newer_tf32_switch() -> Iterator[None]:
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


SURROUNDINGS: dict[str, Callable] = {
    "half": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "another default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "newer TF32 switch": newer_tf32_switch,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_what_the_process_has_set_changes_no_prediction(name: str, surroundings: str) -> None:
    expected = predict(load_model(name, device="cpu"))
    with SURROUNDINGS[surroundings]():
        model = load_model(name, device="cpu")
        inside = predict(model)
    assert np.array_equal(inside, expected)
    assert np.array_equal(predict(model), expected), "what was loaded inside is whole outside"


def test_a_network_built_in_half_precision_would_be_noticed() -> None:
    expected = load_model(MODELS[0], device="cpu").network.state_dict()
    rounded = {name: tensor.half().to(tensor.dtype) for name, tensor in expected.items()}
    assert any(not torch.equal(rounded[name], tensor) for name, tensor in expected.items())


def test_the_newer_switch_is_as_it_was_afterwards() -> None:
    with newer_tf32_switch():
        predict(load_model(MODELS[0], device="cpu"))
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_the_first_of_two_threads_does_not_take_the_precision_from_the_second() -> None:
    torch.set_float32_matmul_precision("medium")
    seen: list[str] = []
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with find_precision("float32-highest").in_force(CPU):
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(10)
        with find_precision("float32-highest").in_force(CPU):
            second_is_in.set()
            first_is_out.wait(10)
            seen.append(torch.get_float32_matmul_precision())

    threads = [threading.Thread(target=each) for each in (first, second)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == ["highest"]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


NM = 0.1 * WATER.positions
VIEWS = {
    "nanometres": NM * unit.nanometer,
    "a list of Vec3": [openmm.Vec3(*row) for row in NM] * unit.nanometer,
    "reversed twice": WATER.positions[::-1].copy()[::-1],
    "big-endian": WATER.positions.astype(">f8"),
    "long double": WATER.positions.astype(np.longdouble),
    "nested lists": WATER.positions.tolist(),
    "a tensor": torch.from_numpy(WATER.positions),
    "in columns": np.asfortranarray(WATER.positions),
}


@pytest.mark.parametrize("form", VIEWS)
def test_positions_may_come_in_any_form_and_length_unit(form: str) -> None:
    found = read_lengths("positions", VIEWS[form])
    assert found.dtype == torch.float64 and found.shape == WATER.positions.shape
    assert np.abs(found.numpy() - WATER.positions).max() < 1e-12 * np.abs(WATER.positions).max()


def test_a_unit_reaches_energy_and_forces() -> None:
    model = load_model(MODELS[1], device="cpu", precision="float64")
    expected = predict(model)
    found = model.predict(WATER.atomic_numbers, NM * unit.nanometer, 0.1 * WATER.cell * unit.nanometer)
    assert np.abs(np.append(found.forces, found.energy) - expected).max() < 1e-9
    with pytest.raises(StructureError, match="positions must be lengths"):
        model.predict(WATER.atomic_numbers, NM * unit.kelvin, WATER.cell)


@pytest.mark.parametrize("positions", [WATER.positions, [[0.0, 0.0, 0.0]], torch.zeros(3, 3, dtype=torch.int64)])
def test_evaluate_names_what_is_no_tensor_of_floating_numbers(positions: object) -> None:
    model = load_model(MODELS[1], device="cpu")
    with pytest.raises(StructureError, match="must be a torch tensor of floating numbers"):
        model.evaluate(model.compose(WATER.atomic_numbers), positions)


def test_outputs_may_be_a_list_and_a_name_must_be_one() -> None:
    model = load_model(MODELS[1], device="cpu")
    positions, cell = torch.from_numpy(WATER.positions), torch.from_numpy(WATER.cell)
    assert model.evaluate(model.compose(WATER.atomic_numbers), positions, cell, ["energy"]).energy is not None
    with pytest.raises(ModelError, match="a model is chosen by its name, got PosixPath"):
        load_model(Path("file.ckpt"))


def test_a_molecule_far_from_the_origin_has_the_forces_of_one_near_it() -> None:
    numbers = [8, 1, 1]
    near = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    model = load_model(MODELS[1], device="cpu", precision="float32-highest")
    expected = model.predict(numbers, near).forces
    far = model.predict(numbers, near + 65536.0).forces  # a power of two, at which no digit is lost in float64
    assert np.abs(far - expected).max() < 2e-5


def test_a_placeholder_box_is_none_behind_every_door(caplog: pytest.LogCaptureFixture) -> None:
    from orbmm.forces.attach import create_system

    topology = app.Topology()
    chain = topology.addChain()
    residue = topology.addResidue("HOH", chain)
    for symbol in ("O", "H", "H"):
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    systems = []
    for edge in (None, 0.1):
        if edge is not None:
            topology.setPeriodicBoxVectors(edge * np.eye(3) * unit.nanometer)
        systems.append(create_system(topology, ModelSettings(device="cpu")))
    assert [system.usesPeriodicBoundaryConditions() for system in systems] == [False, False]
    assert "is a placeholder" in caplog.text
    topology.setPeriodicBoxVectors(0.2 * np.eye(3) * unit.nanometer)
    with pytest.raises(StructureError, match="leaves 2.7 Å³ to each of 3 atoms"):
        create_system(topology, ModelSettings(device="cpu"))
