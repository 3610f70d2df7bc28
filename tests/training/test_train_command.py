"""`orbmm train` as a user calls it, and what can be done with its result."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from openmm import app, unit
from training.conftest import CONSERVATIVE
from typer.testing import CliRunner, Result

from orbmm.checkpoints.record_in_file import read_record, read_training
from orbmm.cli.main import build_app
from orbmm.forces.attach import create_system
from orbmm.model.load import load_model
from orbmm.settings import ModelSettings, read_training_settings
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.steps import loop
from orbmm.training.validation.errors import Errors

FILE = """
[model]
name = "mine"
level_of_theory = "invented"
start = "{start}"
from_scratch = true
[data]
training = ["frames.npz"]
energy_unit = "eV"
force_unit = "eV/Å"
validation_share = 0.2
[optimizer]
steps = 4
edges_per_batch = 200
[run]
output = "out"
validate_every = 2
"""


def call(*words: object) -> Result:
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture
def settings(frames: list[Frame], tmp_path: Path) -> Path:
    write_frames(tmp_path / "frames.npz", frames)
    path = tmp_path / "training.toml"
    path.write_text(FILE.format(start=CONSERVATIVE), encoding="utf-8")
    return path


def test_a_training_ends_with_a_file_that_is_a_model(settings: Path, tmp_path: Path) -> None:
    result = call("train", settings)
    assert result.exit_code == 0, result.output
    weights = tmp_path / "out" / "mine.safetensors"
    assert "errors on held-out frames" in result.output and str(weights) in result.output
    record = read_record(weights)
    assert (record.name, record.elements, record.level_of_theory) == ("mine", (1, 8), "invented")
    kept = read_training(weights)
    assert kept["steps"] == 4 and kept["settings"]["optimizer"]["steps"] == 4 and len(kept["data_sha256"]) == 64
    assert read_training_settings(tmp_path / "out" / "training.toml") == read_training_settings(settings)


def test_the_result_drives_a_system(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    assert call("train", settings).exit_code == 0
    weights = tmp_path / "out" / "mine.safetensors"
    positions = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    for symbol in ("O", "H", "H"):
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    system = create_system(topology, ModelSettings(name="orbmm", weights=weights))
    from openmm import Context, Platform, VerletIntegrator

    context = Context(system, VerletIntegrator(0.001), Platform.getPlatformByName("Reference"))
    context.setPositions(0.1 * positions)
    energy = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    alone = load_model(str(weights), device="cpu").predict([8, 1, 1], positions).energy
    assert energy == pytest.approx(alone * 96.48533212, rel=1e-7)


def test_a_stopped_training_goes_on_only_on_request(settings: Path) -> None:
    assert call("train", settings, "--resume").exit_code == 2
    assert call("train", settings).exit_code == 0
    again = call("train", settings)
    assert again.exit_code == 2 and "--resume" in again.stderr and again.stderr.count("\n") <= 2
    assert call("train", settings, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"eV/Å"', '"eV/A"', "force_unit"),
        ("steps = 4", "setps = 4", "did you mean 'steps'?"),
        ('"frames.npz"', '"absent.npz"', "no such file"),
        ("validation_share = 0.2", "validation_share = 0.01", "validation_share"),
        ("validation_share = 0.2", 'stress_unit = "GPa"', "stress_sign"),
        ("[optimizer]", "[optimiser]", "unknown table"),
        (CONSERVATIVE, "orb-mini-conservative", "no model is called"),
    ],
)
def test_a_mistake_is_one_sentence(old: str, new: str, said: str, settings: Path) -> None:
    settings.write_text(settings.read_text("utf-8").replace(old, new), encoding="utf-8")
    result = call("train", settings)
    assert result.exit_code == 2 and said in result.stderr, result.output
    assert "Traceback" not in result.output


def test_an_exploding_loss_stops_the_training(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orbmm.training.steps import loop

    monkeypatch.setattr(loop, "compute_losses", lambda *_: _Infinite())
    result = call("train", settings)
    assert result.exit_code == 2 and "loss is not finite at step 1" in result.stderr


class _Infinite:
    total = torch.tensor(float("inf"))


def test_training_stops_when_the_error_no_longer_falls(settings: Path, tmp_path: Path) -> None:
    text = settings.read_text("utf-8").replace("steps = 4", "steps = 40\nlearning_rate = 0.0")
    settings.write_text(text.replace("[run]", "[run]\npatience = 2"), encoding="utf-8")
    result = call("train", settings)
    assert result.exit_code == 0 and "no longer falls" in result.output
    assert read_training(tmp_path / "out" / "mine.safetensors")["steps"] == 2


def test_a_direct_training_runs(settings: Path, tmp_path: Path) -> None:
    text = settings.read_text("utf-8").replace(CONSERVATIVE, "orb-mini-direct-inf-xtb")
    settings.write_text(text, encoding="utf-8")
    assert call("train", settings).exit_code == 0
    assert read_record(tmp_path / "out" / "mine.safetensors").kind == "direct"


def test_the_history_is_written_for_tensorboard(settings: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator as reader

    settings.write_text(settings.read_text("utf-8") + "tensorboard = true\n", encoding="utf-8")
    assert call("train", settings).exit_code == 0
    events = reader.EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    events.Reload()
    with (tmp_path / "out" / "history.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for name in ("forces_loss", "forces_mev_per_angstrom"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(int(float(row["step"])), pytest.approx(float(row[name]), rel=1e-6)) for row in rows]


def test_without_tensorboard_a_sentence_says_so(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    settings.write_text(settings.read_text("utf-8") + "tensorboard = true\n", encoding="utf-8")
    result = call("train", settings)
    assert result.exit_code == 2 and "pip install tensorboard" in result.stderr and "Traceback" not in result.output


def test_a_resumed_training_refuses_frames_in_other_roles(settings: Path, frames: list[Frame], tmp_path: Path) -> None:
    for name, part in (("one", frames[:6]), ("two", frames[6:8]), ("three", frames[8:])):
        write_frames(tmp_path / f"{name}.npz", part)
    text = settings.read_text("utf-8").replace("validation_share = 0.2", "")
    first = text.replace('"frames.npz"', '"one.npz", "two.npz"').replace("[data]", '[data]\nvalidation = ["three.npz"]')
    other = text.replace('"frames.npz"', '"one.npz"').replace("[data]", '[data]\nvalidation = ["two.npz", "three.npz"]')
    settings.write_text(first, encoding="utf-8")
    assert call("train", settings).exit_code == 0
    settings.write_text(other, encoding="utf-8")
    result = call("train", settings, "--resume")
    assert result.exit_code == 2 and "other frames" in result.stderr
    settings.write_text(first, encoding="utf-8")
    assert call("train", settings, "--resume").exit_code == 0


def test_the_choice_of_the_best_weights_cannot_begin_on_resume(settings: Path) -> None:
    assert call("train", settings).exit_code == 0
    settings.write_text(settings.read_text("utf-8").replace("[run]", "[run]\npatience = 2"), encoding="utf-8")
    result = call("train", settings, "--resume")
    assert result.exit_code == 2 and "patience" in result.stderr


def test_the_errors_of_a_training_are_those_of_its_weights(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first validation counts as the best, so that the weights are not those of the last step."""
    validate, found = loop.validate, []

    def worse_each_time(*arguments: object) -> dict[str, Errors]:
        found.append(validate(*arguments))
        growing = replace(found[-1]["all"], forces_mev_per_angstrom=float(len(found)))
        return found[-1] | {"all": growing} if len(found) < 6 else found[-1]

    monkeypatch.setattr(loop, "validate", worse_each_time)
    text = settings.read_text("utf-8").replace("validate_every = 2", "patience = 9\nvalidate_every = 1")
    settings.write_text(text, encoding="utf-8")
    assert call("train", settings).exit_code == 0
    report = json.loads((tmp_path / "out" / "validation.json").read_text("utf-8"))
    assert read_training(tmp_path / "out" / "mine.safetensors")["steps"] == 1
    assert report["after"]["all"]["forces_rms_mev_per_angstrom"] == pytest.approx(
        found[1]["all"].forces_rms_mev_per_angstrom
    )
    assert found[1]["all"] != found[-2]["all"]
