"""Every door to a GPU passes the first contact: createSystem, a run, and `orbmm doctor --gpu` on request."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from first_contact.conftest import DIRECT
from openmm import app, unit
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.errors import DeviceError
from orbmm.first_contact.record import list_contacts
from orbmm.forces import evaluator_cache
from orbmm.forces.attach import create_system
from orbmm.forces.description import ForceDescription
from orbmm.model.load import load_model
from orbmm.settings import ModelSettings, override_settings, read_settings
from orbmm.simulation.run import start_run

GPU = ModelSettings(DIRECT, device="cuda", precision="float32-high", force="PythonForce")


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
    model = {name: getattr(GPU, name) for name in ("name", "device", "precision", "force")}
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


def test_the_doctor_compares_every_precision_on_request() -> None:
    result = CliRunner().invoke(build_app(), ["doctor", "--gpu", "--model", DIRECT])
    assert result.exit_code == 0, result.output
    assert all(precision in result.output for precision in ("float64", "float32-high", "float16", "bfloat16"))
    assert "every GPU computes as the CPU does" in result.output
    assert len(list_contacts()) == 5
