"""What goes wrong while forces are computed: the same sentence from every force kind."""

from __future__ import annotations

import _thread
import threading

import numpy as np
import openmm
import pytest
from safetensors.torch import load_file, save_file

from orbmm.errors import ForceError, StructureError
from orbmm.forces.attach import attach_force, create_system
from orbmm.forces.failure import read_sentence
from orbmm.forces.python_force import refuse_worker_thread
from orbmm.forces.versions import advise_on_worker_thread, read_versions
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings

CONSERVATIVE = "orb-mini-conservative-inf-xtb"


def spoil_with_nan(positions: np.ndarray) -> np.ndarray:
    spoilt = positions.copy()
    spoilt[7, 2] = np.nan
    return spoilt


def spoil_with_overlap(positions: np.ndarray) -> np.ndarray:
    spoilt = positions.copy()
    spoilt[5] = spoilt[9]
    return spoilt


@pytest.fixture
def model(kind, random_weights) -> ModelSettings:
    return ModelSettings(name=CONSERVATIVE, weights=random_weights(CONSERVATIVE), device="cpu", force=kind)


def catch_sentence(compute, system, positions) -> str:
    with pytest.raises(openmm.OpenMMException) as caught:
        compute(system, positions)
    return read_sentence(caught.value)


@pytest.mark.parametrize("spoil", (spoil_with_nan, spoil_with_overlap))
def test_each_kind_hands_the_sentence_of_the_network_through(spoil, model, make_water, compute):
    water = make_water("cube")
    positions = spoil(water.positions)
    sentence = catch_sentence(compute, create_system(water.topology, model), positions)
    with pytest.raises(StructureError) as caught:
        load_model(CONSERVATIVE, model.weights, "cpu").predict(water.atomic_numbers, positions * 10, water.box * 10)
    assert sentence == str(caught.value)


def test_atoms_of_a_subset_are_said_to_be_counted_within_it(model, make_water, compute):
    water, system = make_water("cube"), openmm.System()
    for _ in water.positions:
        system.addParticle(1.0)
    attach_force(system, water.topology, model, range(3, 12))
    sentence = catch_sentence(compute, system, spoil_with_nan(water.positions))
    assert "atom 4 " in sentence and sentence.endswith("(atoms counted among the 9 that the network sees)")


def test_a_subset_beyond_the_system_gives_one_sentence(model, make_water, compute):
    water, system = make_water("cube"), openmm.System()
    for _ in range(10):
        system.addParticle(1.0)
    attach_force(system, water.topology, model, range(3, 12))
    sentence = catch_sentence(compute, system, water.positions[:10])
    assert sentence == "the force acts on atom 11, and the System has only 10: create it again"


def test_a_network_that_overflows_stops_the_run(kind, random_weights, tmp_path, make_water, compute):
    weights, water = tmp_path / "huge.safetensors", make_water("cube")
    tensors = load_file(random_weights(CONSERVATIVE))
    for name, tensor in tensors.items():
        if name.startswith("model.") and tensor.dim() == 2:
            tensor.fill_(3e38)  # the largest float32 numbers: their sums are infinite
    save_file(tensors, weights)
    system = create_system(water.topology, ModelSettings(name=CONSERVATIVE, weights=weights, device="cpu", force=kind))
    assert "the network gave NaN or infinity" in catch_sentence(compute, system, water.positions)


def test_another_number_of_particles_gives_one_sentence(model, make_water, compute):
    water = make_water("cube")
    system = create_system(water.topology, model)
    system.addParticle(1.0)
    sentence = catch_sentence(compute, system, np.concatenate([water.positions, [[0.3, 0.3, 0.3]]]))
    assert sentence == "the force was made for 24 atoms, and the System has 25: create it again"


def test_a_sentence_outside_torchscript_is_left_as_it_is():
    assert read_sentence(openmm.OpenMMException("Particle coordinate is NaN.")) == "Particle coordinate is NaN."


def test_a_thread_that_python_did_not_start_is_refused():
    outcome: list[BaseException | None] = []
    done = threading.Event()

    def call() -> None:
        try:
            refuse_worker_thread()
            outcome.append(None)
        except ForceError as error:
            outcome.append(error)
        finally:
            done.set()

    _thread.start_new_thread(call, ())  # unknown to the module threading, as OpenMM's threads are
    assert done.wait(10)
    assert isinstance(outcome[0], ForceError) and "worker thread" in str(outcome[0])
    assert advise_on_worker_thread(read_versions()) in str(outcome[0])


def test_threads_of_python_itself_are_not_refused():
    outcome: list[str] = []
    refuse_worker_thread()
    thread = threading.Thread(target=lambda: (refuse_worker_thread(), outcome.append("passed")))
    thread.start()
    thread.join()
    assert outcome == ["passed"]
