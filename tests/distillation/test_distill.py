"""A distillation on a few waters: the teacher's frames and labels, a student, and its own run; it may be stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from openmm import app, unit
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.record_in_file import read_record
from orbmm.cli.main import build_app
from orbmm.distillation import distill as parts
from orbmm.distillation.plan import Plan, Sampling
from orbmm.errors import TrainingError, UnstableRun
from orbmm.model.load import load_model
from orbmm.settings import read_settings, read_training_settings
from orbmm.training.data.frames import read_frames
from orbmm.training.data.run_frames import read_run_frames

TEACHER, STUDENT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
SYSTEM = '[system]\nname = "water"\nstructure = "water.pdb"\n[run]\nminimize_iterations = 60\nframe_every_fs = 1.0\n'
OPTIONS = ("--frames", 10, "--every-fs", 2, "--steps", 4, "--rollout-ps", 0.002)


def write_system(folder: Path) -> Path:
    """Write 15 waters in a cube as a system."""
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), model="tip3p", numAdded=15, neutralize=False)
    with (folder / "water.pdb").open("w") as stream:
        app.PDBFile.writeFile(modeller.topology, modeller.positions, stream)
    (folder / "system.toml").write_text(SYSTEM, encoding="utf-8")
    return folder / "system.toml"


def call(*words: object) -> Result:
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a distillation, beside its system.toml, and what it printed."""
    folder = tmp_path_factory.mktemp("distill")
    system = write_system(folder)
    result = call("distill", TEACHER, system, *OPTIONS, "--output", folder / "out")
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


def test_frames_of_a_run_are_those_of_its_trajectory(done: tuple[Path, str]) -> None:
    run = done[0] / "dynamics-300K"
    expected = md.load(str(run / "trajectory.xtc"), top=str(run / "topology.pdb"))
    found = read_run_frames(run)
    assert len(found) == expected.n_frames == 6
    for frame, xyz, cell in zip(found, expected.xyz, expected.unitcell_vectors, strict=True):
        np.testing.assert_allclose(frame.positions, 10.0 * xyz, atol=1e-5)
        np.testing.assert_allclose(frame.cell, 10.0 * cell, atol=1e-4)
        assert frame.atomic_numbers.tolist() == [8, 1, 1] * 15 and not frame.peptide.any() and not frame.is_labelled


def test_labels_are_the_teachers(done: tuple[Path, str]) -> None:
    teacher = load_model(TEACHER, device="cpu", precision="float32-highest")
    frames = read_frames(done[0] / "labelled.npz")
    assert {frame.group for frame in frames} == {"dynamics-300K", "dynamics-390K"} and len(frames) == 10
    for frame in frames[:3]:
        expected = teacher.predict(frame.atomic_numbers, frame.positions, frame.cell)
        np.testing.assert_array_equal(frame.forces, expected.forces)


def test_the_student_and_the_summary(done: tuple[Path, str]) -> None:
    folder, output = done
    record = read_record(folder / "training" / "water-student.safetensors")
    assert (record.kind, record.level_of_theory) == ("direct", "GFN1-xTB, periodic") and TEACHER in record.purpose
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    report = json.loads((folder / "training" / "validation.json").read_text("utf-8"))
    assert summary["errors"] == report["after"] and summary["instability"] is None
    assert 0.0 < summary["cost"]["cpu_seconds"] < 10.0
    for said in ("stable for 0.002 ps", "errors to the teacher, all: ", "CPU-s a frame"):
        assert said in output, output


def test_a_repeated_command_computes_nothing_again(done: tuple[Path, str]) -> None:
    folder = done[0]
    names = ("labelled.npz", "dynamics-300K/trajectory.xtc", "rollout/energies.csv", "training.toml")
    before = {name: (folder / name).stat().st_mtime_ns for name in names}
    result = call("distill", TEACHER, folder.parent / "system.toml", *OPTIONS, "--output", folder)
    assert result.exit_code == 0 and "stable for" in result.output, result.output
    assert {name: (folder / name).stat().st_mtime_ns for name in names} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((STUDENT, "system.toml", *OPTIONS), "begun with teacher = "),
        ((TEACHER, "system.toml", *OPTIONS[:-1], 0.003), "begun with rollout_ps = "),
        ((TEACHER, "other.toml", *OPTIONS), "begun with another SYSTEM.toml"),
        (("no-such-model", "system.toml", *OPTIONS), "no model is called"),
        ((TEACHER, "system.toml", *OPTIONS, "--student", "orb-mini"), "no model is called"),
        ((TEACHER, "system.toml", "--every-fs", 0.7), "whole number of time steps"),
        ((TEACHER, "system.toml", "--temperature", -5), "temperature_kelvin"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: tuple[object, ...], said: str, done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = done[0].parent
    monkeypatch.chdir(folder)
    (folder / "other.toml").write_text(SYSTEM.replace("= 60", "= 61"), encoding="utf-8")
    result = call("distill", *words, "--output", "out" if "begun" in said else "new")
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output, result.output
    assert not (folder / "new").exists()


def test_a_charge_that_one_of_both_does_not_take_is_said_at_once(done: tuple[Path, str], tmp_path: Path) -> None:
    plan = make_plan(done, tmp_path / "new")
    with pytest.raises(TrainingError, match="orb-v3-direct-omol takes charge and multiplicity"):
        replace(plan, student="orb-v3-direct-omol").keep()
    charged = replace(plan.system, model=replace(plan.system.model, charge=-1, multiplicity=1))
    with pytest.raises(TrainingError, match="does not take a charge"):
        replace(plan, system=charged).keep()
    neutral = replace(plan.system, model=replace(plan.system.model, charge=0, multiplicity=1))
    for student, kept in ((STUDENT, None), ("orb-v3-direct-omol", 0)):
        rollout = replace(plan, system=neutral, student=student)
        rollout.keep()
        assert rollout.plan_rollout().model.charge is kept
        shutil.rmtree(plan.folder)


def make_plan(done: tuple[Path, str], folder: Path) -> Plan:
    """Return the plan of what is done, in another folder."""
    settings = read_settings(done[0].parent / "system.toml")
    return Plan(TEACHER, settings, folder, STUDENT, Sampling(10, 2.0, (300.0,)), 4, 0.002)


def test_a_stopped_distillation_goes_on(
    done: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, calls = make_plan(done, tmp_path), []
    start, label = parts.start_run, parts.label_file

    def count(settings: object, *more: object) -> object:
        calls.append("run")
        return start(settings, *more)

    def stop(*words: object, **more: object) -> object:
        calls.append("label")
        if calls.count("label") == 1:
            raise KeyboardInterrupt
        return label(*words, **more)

    monkeypatch.setattr(parts, "start_run", count)
    monkeypatch.setattr(parts, "label_file", stop)
    with pytest.raises(KeyboardInterrupt):
        parts.distill(plan)
    assert parts.distill(plan) is not None
    assert calls == ["run", "label", "label", "run"]


def test_changed_settings_of_the_training_are_used(done: tuple[Path, str], tmp_path: Path) -> None:
    plan = make_plan(done, tmp_path)
    plan.keep()
    text = (done[0] / "training.toml").read_text("utf-8").replace("steps = 4", "steps = 3")
    plan.training.write_text(text, encoding="utf-8")
    plan.frames.write_bytes((done[0] / "labelled.npz").read_bytes())
    parts._train(plan, parts.Display())
    assert read_training_settings(tmp_path / "training" / "training.toml").optimizer.steps == 3


def test_a_student_that_breaks_is_said_to(done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part again, with a student that the guard stops; a repeated call says the same."""
    folder = done[0]
    (folder / "rollout").rename(folder / "kept")
    original = parts.start_run

    def break_down(settings: object, *more: object) -> object:
        return original(replace(settings, guard=replace(settings.guard, force_limit_kj_mol_nm=1.0)), *more)

    monkeypatch.setattr(parts, "start_run", break_down)
    for _ in range(2):
        result = call("distill", TEACHER, folder.parent / "system.toml", *OPTIONS, "--output", folder)
        assert result.exit_code == 3 and "the student is not stable: " in result.stderr, result.output
        assert "stable for" not in result.output.replace(result.stderr, "")
        assert json.loads((folder / "summary.json").read_text("utf-8"))["instability"]


def test_a_teacher_that_breaks_is_an_error(done: tuple[Path, str], tmp_path: Path) -> None:
    plan = make_plan(done, tmp_path)
    guard = replace(plan.system.guard, force_limit_kj_mol_nm=1.0)
    with pytest.raises(UnstableRun):
        parts.distill(replace(plan, system=replace(plan.system, guard=guard)))
    assert not plan.frames.exists()


def test_the_folder_of_another_plan_is_refused(done: tuple[Path, str], tmp_path: Path) -> None:
    plan = make_plan(done, tmp_path)
    plan.keep()
    plan.keep()
    with pytest.raises(TrainingError, match="begun with steps = 4, now it is 5"):
        replace(plan, steps=5).keep()


def test_the_networks_are_known_by_their_weights(done: tuple[Path, str], tmp_path: Path) -> None:
    """The same file name with other weights is another teacher; the twin with the same weights elsewhere is not."""
    student = tmp_path / "own.safetensors"
    trained = done[0] / "training" / "water-student.safetensors"
    student.write_bytes(trained.read_bytes())
    plan = replace(make_plan(done, tmp_path / "new"), student=str(student))
    plan.keep()
    plan.keep_networks()
    kept = json.loads((plan.folder / "distillation.json").read_text("utf-8"))["weights_sha256"]
    assert kept["student"] == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert kept["teacher"] == find_record(TEACHER).sha256
    plan.keep()
    plan.keep_networks()
    tensors = load_file(student)
    next(iter(tensors.values())).view(-1)[0] += 1
    with safe_open(student, "pt") as opened:
        save_file(tensors, student, metadata=opened.metadata())
    with pytest.raises(TrainingError, match="was begun with a student of sha256 .* bring the first weights back"):
        plan.keep_networks()
