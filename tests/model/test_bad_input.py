"""Bad input ends in one clear sentence, and the sentence names what was wrong."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential, randomize_state_dict
from oracles.structures import MAKERS

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import find_record
from orbmm.errors import CheckpointError, DeviceError, ModelError, OrbmmError, StructureError
from orbmm.model.composition import compose
from orbmm.model.load import assemble_network, load_model, make_network
from orbmm.model.potential import Potential

NARROW = Architecture(latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=1)
WATER = np.array([8, 1, 1])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
CUBE = 12.0 * np.eye(3)


@pytest.fixture(scope="module")
def model() -> Potential:
    return make_random_potential("orb-v3-direct-inf-omat", architecture=NARROW)


@pytest.fixture(scope="module")
def omol_model() -> Potential:
    architecture = Architecture(
        latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=1, charge_and_spin=True, has_stress_head=False
    )
    return make_random_potential("orb-v3-direct-omol", architecture=architecture)


def check_sentence(error: pytest.ExceptionInfo[OrbmmError]) -> None:
    """One line, long enough to say something, and the exit code of bad input."""
    text = str(error.value)
    assert "\n" not in text and len(text.split()) > 4
    assert error.value.exit_code == 2


def refuse(kind: type[OrbmmError], match: str, function, *args, **options) -> None:
    with pytest.raises(kind, match=match) as error:
        function(*args, **options)
    check_sentence(error)


def test_an_unknown_model_is_answered_with_the_nearest_name() -> None:
    refuse(
        ModelError, "orb-v3-direct-inf-oma.*did you mean 'orb-v3-direct-inf-omat'", load_model, "orb-v3-direct-inf-oma"
    )


def test_an_unknown_precision_is_answered_with_the_nearest_name() -> None:
    refuse(
        ModelError,
        "did you mean 'float32-high'",
        load_model,
        "orb-v3-direct-inf-omat",
        device="cpu",
        precision="float32-hi",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")
def test_a_gpu_that_is_absent_is_not_replaced_in_silence() -> None:
    refuse(DeviceError, "cuda.*device='cpu'", load_model, "orb-v3-direct-inf-omat", device="cuda")


def test_an_unknown_device_is_refused() -> None:
    refuse(DeviceError, "'gpu'.*auto, cpu, cuda", load_model, "orb-v3-direct-inf-omat", device="gpu")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.ckpt"
    torch.save({"weight": torch.zeros(10_000)}, path)
    path.write_bytes(path.read_bytes()[:20_000])
    refuse(CheckpointError, "torn", load_model, "orb-v3-direct-inf-omat", weights=path, device="cpu")


@pytest.mark.parametrize(
    ("architecture", "written_for"),
    [
        (NARROW, "orb-v3-direct-inf-omat"),
        (Architecture(layers=1, has_stress_head=False), "orb-v3-conservative-inf-omat"),
    ],
    ids=["a smaller network", "a conservative network for a direct one"],
)
def test_weights_of_another_architecture_are_refused(
    tmp_path: Path, architecture: Architecture, written_for: str
) -> None:
    record = replace(find_record(written_for), architecture=architecture)
    path = tmp_path / "other.ckpt"
    torch.save(randomize_state_dict(make_network(record).state_dict(), seed=1, omol=False), path)
    refuse(CheckpointError, "orb|Orb|heads|shape", load_model, "orb-v3-direct-inf-omat", weights=path, device="cpu")


def test_a_head_that_the_file_lacks_is_warned_of_and_one_too_many_is_told(caplog: pytest.LogCaptureFixture) -> None:
    record = replace(find_record("orb-v3-direct-inf-omat"), architecture=NARROW)
    tensors = randomize_state_dict(make_network(record).state_dict(), seed=1, omol=False)
    bare = {name: tensor for name, tensor in tensors.items() if not name.startswith(("heads.stress", "heads.conf"))}
    with caplog.at_level(logging.INFO, "orbmm"):
        assemble_network(record, {**bare, "heads.charges.mlp.NN-0.weight": torch.ones(2, 2)})
    told = {(each.levelname, each.getMessage()) for each in caplog.records}
    assert told == {
        ("WARNING", f"{record.name}: the weights file has no confidence head, so the model gives no confidence"),
        ("WARNING", f"{record.name}: the weights file has no stress head, so the model gives no stress"),
        ("INFO", "ignored heads that the network does not have: charges"),
    }


@pytest.mark.parametrize("number", [0, -1, 119])
def test_what_is_no_element_is_refused(model: Potential, number: int) -> None:
    refuse(StructureError, f"{number} is not an element", model.predict, [8, 1, number], POSITIONS)


def test_an_element_that_the_embedded_model_was_not_trained_on_is_named() -> None:
    record = find_record("orb-mini-conservative-inf-xtb")
    refuse(StructureError, "Zn.*H, C, N, O", compose, record, [8, 1, 30], torch.device("cpu"))


def test_a_missing_charge_is_asked_for(omol_model: Potential) -> None:
    refuse(ModelError, "needs charge and multiplicity", omol_model.predict, WATER, POSITIONS)
    refuse(ModelError, "needs multiplicity", omol_model.predict, WATER, POSITIONS, charge=0)


def test_a_multiplicity_below_zero_is_refused(omol_model: Potential) -> None:
    refuse(ModelError, "multiplicity.*got -1", omol_model.predict, WATER, POSITIONS, charge=0, multiplicity=-1)


def test_several_structures_in_one_call_are_refused(model: Potential) -> None:
    refuse(StructureError, "one structure, .*: give several to predict_many", model.predict, [WATER, WATER], POSITIONS)
    refuse(StructureError, "several to predict_many", model.predict, WATER, np.stack([POSITIONS, POSITIONS]))


def test_gradients_through_a_prediction_are_refused(model: Potential) -> None:
    positions = torch.tensor(POSITIONS, requires_grad=True)
    refuse(ModelError, "not differentiable: use the forces .*detach", model.predict, WATER, positions)
    refuse(ModelError, "not differentiable", model.evaluate, model.compose(WATER), positions)


def test_a_precision_is_chosen_by_its_name() -> None:
    name = "orb-mini-conservative-inf-xtb"
    refuse(ModelError, "unknown precision 'torch.float64'.*float64", load_model, name, precision=torch.float64)


def test_a_charge_that_the_model_does_not_take_is_refused(model: Potential) -> None:
    refuse(ModelError, "takes no charge", model.predict, WATER, POSITIONS, charge=0, multiplicity=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_refused(model: Potential, value: float) -> None:
    positions = POSITIONS.copy()
    positions[1, 2] = value
    refuse(StructureError, "atom 1", model.predict, WATER, positions, CUBE)


def test_atoms_on_top_of_each_other_are_named(model: Potential) -> None:
    refuse(StructureError, "atoms 0 and 1", model.predict, WATER, POSITIONS * [0, 1, 1], CUBE)


def test_atoms_on_top_of_each_other_through_the_boundary_are_named(model: Potential) -> None:
    positions = POSITIONS.copy()
    positions[2] = positions[0] + CUBE[1]
    refuse(StructureError, "atoms 0 and 2", model.predict, WATER, positions, CUBE)


def test_a_cell_without_volume_is_refused(model: Potential) -> None:
    refuse(StructureError, "no volume", model.predict, WATER, POSITIONS, np.diag([12.0, 12.0, 0.0]))


def test_a_left_handed_cell_is_refused(model: Potential) -> None:
    refuse(StructureError, "left-handed", model.predict, WATER, POSITIONS, CUBE[[1, 0, 2]])


def test_coordinates_of_another_number_of_atoms_are_refused(model: Potential) -> None:
    refuse(StructureError, r"expected \(3, 3\)", model.predict, WATER, POSITIONS[:2])


def test_a_cell_of_three_lengths_is_refused(model: Potential) -> None:
    refuse(StructureError, r"expected \(3, 3\)", model.predict, WATER, POSITIONS, np.array([12.0, 12.0, 12.0]))


def test_an_unknown_output_is_answered_with_the_nearest_name(model: Potential) -> None:
    composition = model.compose(WATER)
    positions = torch.from_numpy(POSITIONS)
    refuse(ModelError, "did you mean 'forces'", model.evaluate, composition, positions, None, {"force"})


def test_an_output_that_cannot_be_given_is_refused(model: Potential, omol_model: Potential) -> None:
    positions = torch.from_numpy(POSITIONS)
    refuse(ModelError, "stress needs a cell", model.evaluate, model.compose(WATER), positions, None, {"stress"})
    composition = omol_model.compose(WATER, charge=0, multiplicity=1)
    refuse(ModelError, "no stress", omol_model.evaluate, composition, positions, torch.from_numpy(CUBE), {"stress"})


def test_good_input_is_not_refused(model: Potential) -> None:
    structure = MAKERS["water_far_away"]()
    prediction = model.predict(structure.atomic_numbers, structure.positions, structure.cell)
    assert np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all()


@pytest.mark.parametrize(
    ("numbers", "positions", "cell", "sentence"),
    [
        (["O", "H", "H"], POSITIONS, None, "atomic_numbers must be a list of integers"),
        (None, POSITIONS, None, "atomic_numbers must be a list of integers"),
        ([8, 1, 1], [[0.0, 0.0, 0.0], [1.0, 0.0]], None, "positions must be real numbers"),
        ([8, 1, 1], [["a", "b", "c"]] * 3, None, "positions must be real numbers"),
        ([8, 1, 1], None, None, "positions must be real numbers"),
        ([8, 1, 1], POSITIONS + 1j, None, "positions must be real numbers .*complex"),
        ([8, 1, 1], POSITIONS, "cubic", "cell must be real numbers"),
    ],
)
def test_what_are_no_numbers_is_refused(numbers: Any, positions: Any, cell: Any, sentence: str) -> None:
    potential = load_model("orb-mini-direct-inf-xtb", device="cpu")
    refuse(StructureError, sentence, potential.predict, numbers, positions, cell)


def test_a_list_is_read_in_double_precision() -> None:
    potential = load_model("orb-mini-direct-inf-xtb", device="cpu", precision="float64")
    listed, given = (potential.predict([8, 1, 1], places) for places in (POSITIONS.tolist(), POSITIONS))
    assert listed.energy == given.energy
