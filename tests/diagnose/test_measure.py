"""orbmm.diagnose_model and the command measure all, write it, and refuse what cannot be diagnosed in one sentence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import orbmm
from orbmm.cli.main import build_app
from orbmm.diagnose.labels import LabelFile, measure_labels
from orbmm.diagnose.measure import Plan, list_advice
from orbmm.diagnose.subject import read_frames, read_shipped
from orbmm.errors import AnalysisError, OrbmmError, TrainingError
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.run_files.diagnosis import Diagnosis, Diagnostic, format_diagnosis, read_diagnosis
from orbmm.training.data.reading import EV_PER_ANGSTROM_PER_UNIT

ase = pytest.importorskip("ase")
ase_io = pytest.importorskip("ase.io")

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
SHORT = Plan(orientations=8, rotations=3, lines=2, loops=1, heating_ps=0.005)


@pytest.fixture(scope="module")
def molecule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peptide of the shipped box, alone."""
    (frame,) = read_shipped()
    path = tmp_path_factory.mktemp("structures") / "peptide.extxyz"
    ase_io.write(path, ase.Atoms(frame.atomic_numbers[:22], frame.positions[:22]))
    return path


@pytest.fixture(scope="module")
def potential() -> Potential:
    return load_model(CONSERVATIVE, precision="float64")


def write_labels(path: Path, molecule: Path, potential: Potential, scale: float = 1.0, noise: float = 0.0) -> Path:
    """Three shaken frames with the forces of the network, times a factor and with noise [eV/Å]."""
    random, frames = np.random.default_rng(0), []
    for _ in range(3):
        atoms = ase_io.read(molecule)
        atoms.positions += random.normal(scale=0.02, size=atoms.positions.shape)
        found = potential.predict(atoms.numbers, atoms.positions)
        atoms.info["energy_label"] = 0.0
        forces = scale * (found.forces + random.normal(scale=noise, size=found.forces.shape))
        calculator = ase.calculators.singlepoint.SinglePointCalculator(atoms, energy=found.energy, forces=forces)
        atoms.calc = calculator
        frames.append(atoms)
    ase_io.write(path, frames)
    return path


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), ["diagnose", *map(str, words)])
    return result.exit_code, result.output


def test_a_pair_is_diagnosed_in_one_call(molecule: Path, potential: Potential) -> None:
    found = orbmm.diagnose_model(DIRECT, molecule, compare=potential, plan=SHORT)
    names = [each.name for each in found.diagnostics]
    assert len(names) == len(set(names)) == 10
    assert found.find("rotational gradient").passed is False
    assert found.find("heating without a thermostat").details["timestep_fs"] == 0.5
    assert found.verdict.startswith(f"{DIRECT} fails ")
    conservative = orbmm.diagnose_model(potential, ase_io.read(molecule), plan=SHORT)
    for name in ("forces and energy along lines", "work round loops", "Jacobian asymmetry lambda"):
        assert (name, conservative.find(name).passed, found.find(name).passed) == (name, True, False)


def test_labels_of_the_network_itself_have_no_error_and_noise_is_found(
    tmp_path: Path, molecule: Path, potential: Potential
) -> None:
    right = measure_labels(potential, LabelFile(write_labels(tmp_path / "right.extxyz", molecule, potential)))
    wrong = LabelFile(write_labels(tmp_path / "wrong.extxyz", molecule, potential, noise=0.5))
    forces, energies, calibration = measure_labels(potential, wrong)
    assert right[0].value < 1e-4
    assert right[2].passed
    assert forces.details["mean_mev_per_angstrom"] == pytest.approx(500.0 * math.sqrt(2.0 / math.pi), rel=0.1)
    assert set(forces.details["by_element_mev_per_angstrom"]) == {"H", "C", "N", "O"}
    assert not forces.passed
    assert energies.value < 1e-4
    assert not calibration.passed  # the head expects 0.05 eV/Å


def test_labels_in_another_unit_are_named(tmp_path: Path, molecule: Path, potential: Potential) -> None:
    scale = 1.0 / EV_PER_ANGSTROM_PER_UNIT["kcal/mol/Å"]
    path = write_labels(tmp_path / "kcal.extxyz", molecule, potential, scale)
    with pytest.raises(TrainingError, match='"kcal/mol/Å" would fit'):
        measure_labels(potential, LabelFile(path))
    forces, *_ = measure_labels(potential, LabelFile(path, force_unit="kcal/mol/Å"))
    assert forces.value < 1e-3


def test_the_command_prints_a_table_and_writes_all_numbers(
    tmp_path: Path, molecule: Path, potential: Potential
) -> None:
    labels = write_labels(tmp_path / "labels.extxyz", molecule, potential)
    written = tmp_path / "out.json"
    words = (DIRECT, "--structure", molecule, "--labels", labels, "--heating-ps", "0.01", "--json", written)
    code, output = run(*words)
    assert code == 0, output
    assert "rotational gradient" in output
    found = read_diagnosis(written)
    assert found.verdict in " ".join(output.split())
    assert json.loads(written.read_text())["passed"] is False
    assert found.atoms == 22
    assert found.elements == {"C": 6, "H": 12, "N": 2, "O": 2}
    assert run(*words)[0] == 0  # its own file is replaced


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["orb-mini-conservative-inf"], "did you mean"),
        (["absent.toml"], "absent.toml"),
        (["."], "is not a run folder"),
        ([CONSERVATIVE, "--structure", "absent.pdb"], "absent.pdb does not exist"),
        ([CONSERVATIVE, "--structure", "absent.extxyz"], "absent.extxyz"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--compare", "orb-mini"], "no model is called"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--labels", "{molecule}", "--heating-ps", "0"], "energy"),
        ([CONSERVATIVE, "--force-unit", "kJ/mol/nm"], "belong to --labels"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--labels", "{molecule}", "--force-unit", "eV"], "force_unit"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--precision", "double"], "double"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--json", "{molecule}"], "was not written by orbmm"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--json", "/proc/none/diagnosis.json"], "cannot be written"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--charge", "1"], "charge"),
        ([CONSERVATIVE, "--structure", "{molecule}", "--heating-ps", "-1"], "heating-ps"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], says: str, molecule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orbmm.diagnose.measure.Plan", lambda **_: SHORT)
    result = CliRunner().invoke(build_app(), ["diagnose", *(word.format(molecule=molecule) for word in words)])
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_no_structure_is_refused() -> None:
    with pytest.raises(OrbmmError, match="got int"):
        read_frames(3)  # type: ignore[arg-type]


def make_diagnosis(*values: float) -> Diagnosis:
    diagnostics = tuple(Diagnostic(f"check {i}", value, "eV", 1.0, "why") for i, value in enumerate(values))
    return Diagnosis("model", "direct", "0" * 64, "float64", "box", 3, diagnostics, {"one": "reason"}, ("advice",))


def test_a_diagnosis_is_read_as_it_was_written(tmp_path: Path) -> None:
    diagnosis = make_diagnosis(0.5, -2.0)
    (tmp_path / "one.json").write_bytes(format_diagnosis(diagnosis))
    assert read_diagnosis(tmp_path / "one.json") == replace(diagnosis)
    assert "fails 1 of 2 checks on box: check 1" in diagnosis.verdict


def test_what_is_not_a_number_never_passes(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(format_diagnosis(make_diagnosis(math.nan)))
    found = read_diagnosis(tmp_path / "one.json")
    assert math.isnan(found.diagnostics[0].value)
    assert not found.passed


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', "[1]"])
def test_another_file_is_no_diagnosis(text: str, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(AnalysisError, match="cannot be read as a diagnosis"):
        read_diagnosis(tmp_path / "one.json")


def test_a_network_that_heats_gets_a_friction() -> None:
    heating = Diagnostic("heating without a thermostat", 300.0, "K/ps", 5.0, "why")
    assert any("friction_per_ps = 100" in sentence for sentence in list_advice([heating]))
    assert list(list_advice([replace(heating, value=0.1)])) == []
