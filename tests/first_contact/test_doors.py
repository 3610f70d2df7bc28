"""Every door to a GPU passes the first contact: createSystem, a run, and `orbmm doctor --gpu` on request."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from first_contact.conftest import DIRECT
from openmm import app, unit
from typer.testing import CliRunner

import orbmm
from orbmm.cli.main import build_app
from orbmm.errors import DeviceError, ModelError
from orbmm.first_contact.record import list_contacts
from orbmm.forces import evaluator_cache
from orbmm.forces.attach import create_system
from orbmm.forces.description import ForceDescription
from orbmm.model.load import load_model
from orbmm.run_files.layout import RunFolder
from orbmm.settings import ModelSettings, override_settings, read_settings
from orbmm.simulation.folder import record as record_module
from orbmm.simulation.folder.record import record_contact
from orbmm.simulation.force_source import ForceIdentity, NetworkForces
from orbmm.simulation.run import start_run
from orbmm.simulation.start.structure import Structure

pytestmark = pytest.mark.usefixtures("small_box")

GPU = ModelSettings(DIRECT, device="cuda", precision="float32-high", force="PythonForce", tune="skip")
WATER_ANGSTROM = [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]


@pytest.fixture
def water() -> app.Topology:
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=6, neutralize=False)
    return modeller.topology


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every network on the GPU have one other weight."""

    def load(name: str, weights: object, device: str, *rest: object) -> object:
        potential = load_model(name, weights, device, *rest)
        if potential.device.type == "cuda":
            with torch.no_grad():
                potential.network.model.gnn_stacks[0]._node_mlp.mlp[0].weight[0, 0] += 0.01
        return potential

    monkeypatch.setattr(evaluator_cache, "load_model", load)


def test_create_system_meets_the_gpu_once(water: app.Topology) -> None:
    create_system(water, GPU)
    (contact,) = list_contacts()
    assert contact.meeting.elements == (1, 8) and contact.meeting.periodic and contact.faults == ()
    create_system(water, GPU)
    assert list_contacts() == [contact]


def test_create_system_on_a_cpu_meets_nobody(water: app.Topology) -> None:
    create_system(water, dataclasses.replace(GPU, device="cpu"))
    assert list_contacts() == []


def test_create_system_stops_with_a_gpu_that_computes_wrong_numbers(water: app.Topology, spoiled: None) -> None:
    with pytest.raises(DeviceError, match="does not compute orb-mini-direct-inf-xtb in float32-high as the CPU does"):
        create_system(water, GPU)


def test_skip_gives_the_check_up(water: app.Topology, spoiled: None) -> None:
    create_system(water, dataclasses.replace(GPU, first_contact="skip"))
    assert list_contacts() == []


def test_the_choice_is_kept_in_a_saved_system() -> None:
    description = ForceDescription(DIRECT, "0" * 64, "float64", "cuda", (8, 1, 1), None, True, first_contact="skip")
    assert ForceDescription.from_json(description.to_json()) == description


@pytest.mark.parametrize("is_spoiled", [False, True])
def test_a_run_keeps_the_contact_or_leaves_no_folder(
    is_spoiled: bool, repository: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = read_settings(repository / "systems" / "water" / "system.toml")
    run = {"output": tmp_path / "run", "length_ps": 0.001, "timestep_fs": 0.5, "minimize_iterations": 1}
    run |= {"frame_every_fs": 0.5, "table_every_fs": 0.5, "checkpoint_every_ps": 0.001, "confidence_every_fs": 0.0}
    model = {name: getattr(GPU, name) for name in ("name", "device", "precision", "force", "tune")}
    settings = override_settings(settings, {"run": run, "model": model})
    if is_spoiled:
        request.getfixturevalue("spoiled")
        with pytest.raises(DeviceError, match="Send in"):
            start_run(settings)
        assert not (tmp_path / "run").exists()
        return
    start_run(settings)
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    kept = record["first_contact"]
    assert kept["meeting"]["card"]["name"] == "stand-in GPU" and kept["faults"] == []
    assert 0.0 <= kept["comparison"]["errors"]["forces_mev_per_angstrom"] < 100.0 and kept["seconds"] > 0.0


def test_a_run_on_a_cpu_or_without_the_check_names_no_contact_of_an_earlier_run(water: app.Topology) -> None:
    def name_contact(settings: ModelSettings) -> object:
        forces = NetworkForces().resolve(settings, Structure(water, np.zeros((18, 3))), None)
        forces.create_system(water)
        return forces.identity.first_contact

    assert name_contact(GPU) is not None
    for change in ({"device": "cpu"}, {"first_contact": "skip"}):
        assert name_contact(dataclasses.replace(GPU, **change)) is None


def test_a_resumed_run_records_a_contact_with_another_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    monkeypatch.setattr(record_module, "read_record", lambda _: json.loads(folder.record.read_text("utf-8")))

    def resume(card: str | None) -> dict[str, object]:
        found = None if card is None else {"meeting": {"card": card, "elements": (1, 8)}}
        record_contact(folder, ForceIdentity("PythonForce", "cuda", "0" * 64, found))
        return json.loads(folder.record.read_text("utf-8"))

    folder.record.write_text("{}", encoding="utf-8")
    assert resume(None) == {}
    first = resume("one")
    assert resume("one") == first and "earlier_contacts" not in first
    second = resume("other")
    assert second["first_contact"]["meeting"]["card"] == "other"
    assert [each["meeting"]["card"] for each in second["earlier_contacts"]] == ["one"]


def test_a_loaded_model_meets_the_gpu_before_it_predicts_for_new_elements() -> None:
    model = orbmm.load_model(DIRECT, device="cuda")
    assert list_contacts() == []
    water = model.predict([8, 1, 1], WATER_ANGSTROM)
    (contact,) = list_contacts()
    assert contact.meeting.elements == (1, 8) and not contact.meeting.periodic
    np.testing.assert_array_equal(model.predict([8, 1, 1], WATER_ANGSTROM).forces, water.forces)
    (together,) = model.predict_many([([8, 1, 1], WATER_ANGSTROM)])
    np.testing.assert_array_equal(together.forces, water.forces)
    assert list_contacts() == [contact]
    skipped = orbmm.load_model(DIRECT, device="cuda", first_contact="skip").predict([8, 1, 1], WATER_ANGSTROM)
    np.testing.assert_array_equal(skipped.forces, water.forces)


def test_a_loaded_model_stops_with_a_gpu_that_computes_wrong_numbers() -> None:
    model = orbmm.load_model(DIRECT, device="cuda")
    with torch.no_grad():
        model.network.model.gnn_stacks[0]._node_mlp.mlp[0].weight[0, 0] += 0.01
    for _ in range(2):
        with pytest.raises(DeviceError, match="does not compute orb-mini-direct-inf-xtb"):
            model.predict([8, 1, 1], WATER_ANGSTROM)
    with pytest.raises(DeviceError, match="does not compute orb-mini-direct-inf-xtb"):
        model.predict_many([([8, 1, 1], WATER_ANGSTROM)])


def test_an_unknown_choice_of_first_contact_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown first_contact 'skp': .*skip"):
        orbmm.load_model(DIRECT, first_contact="skp")


def test_the_doctor_compares_every_precision_on_request() -> None:
    result = CliRunner().invoke(build_app(), ["doctor", "--gpu", "--model", DIRECT])
    assert result.exit_code == 0, result.output
    assert all(precision in result.output for precision in ("float64", "float32-high", "float16", "bfloat16"))
    assert "every GPU computes as the CPU does" in result.output
    assert len(list_contacts()) == 5
