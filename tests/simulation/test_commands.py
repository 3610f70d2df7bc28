"""`orbmm run` and `orbmm resume` with the embedded network: what they print, write and return."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from orbmm.analysis import read_run_folder
from orbmm.cli.main import build_app

pytestmark = pytest.mark.filterwarnings("default")  # what torch and Warp warn of on loading is not ours


@pytest.fixture
def system(water_box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file for a few steps of water, in an otherwise empty current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "system.toml"
    path.write_text(
        f'[system]\nname = "water"\nstructure = "{water_box}"\n[model]\ndevice = "cpu"\n'
        '[run]\nminimize_iterations = 3\nplatform = "Reference"\nframe_every_fs = 1.0\ntable_every_fs = 1.0\n'
    )
    return path


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are no matter here, and take most of an analysis's time."""
    monkeypatch.setattr("orbmm.report.write_figures", lambda results, folder, formats: [])


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def test_run_writes_a_folder_and_says_where(system: Path, tmp_path: Path) -> None:
    result = _call("run", system, "--steps", "6", "--no-analyze", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "step 0/6" in result.stdout
    assert "complete: 6 steps in runs/water" in result.stdout
    rows = np.genfromtxt(tmp_path / "runs" / "water" / "energies.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == [0, 2, 4, 6]
    record = json.loads((tmp_path / "runs" / "water" / "run.json").read_text())
    assert (record["seed"], record["device"], len(record["weights_sha256"])) == (3, "cpu", 64)
    assert record["force_kind"] in ("PythonForce", "TorchForce")
    assert record["weights_proof"] == "part of orbmm, known by their sha256"


def test_run_again_is_refused_and_resume_says_it_is_complete(system: Path) -> None:
    assert _call("run", system, "--steps", "2", "--no-analyze", "--quiet").exit_code == 0
    again = _call("run", system, "--steps", "2", "--no-analyze")
    assert again.exit_code == 2
    assert "orbmm resume" in again.stderr and "--output" in again.stderr
    resumed = _call("resume", "runs/water", "--no-analyze")
    assert resumed.exit_code == 0
    assert "complete: 2 steps in runs/water" in resumed.stdout


def test_quiet_prints_nothing(system: Path) -> None:
    assert _call("run", system, "--steps", "2", "--no-analyze", "--quiet").output == ""


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--length-ps", "-1"], "length_ps is -1.0, but must be above 0"),
        (["--length-ps", "0.00033"], "whole number of time steps"),
        (["--seed", "0"], "seed is 0, but must be at least 1"),
        (["--precision", "float8"], "precision is 'float8'"),
        (["--force", "torchforce"], "did you mean 'TorchForce'?"),
        (["--device", "tpu"], "tpu"),
        (["--weights", "none.safetensors"], "none.safetensors"),
        (["--length-ps", "1", "--steps", "2"], "not both"),
        (["--steps", "0"], "--steps is 0"),
        (["--sede", "1"], "--sede"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_ends_with_exit_code_2(options: list[str], expected: str, system: Path, tmp_path: Path) -> None:
    result = _call("run", system, *options)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "text, expected",
    [
        ('name = "x"\n[modle]\n', "did you mean 'model'?"),
        ('name = "x"\nstructure = "none.pdb"\n', "does not exist"),
        ('name = "x"\n', "names no structure"),
        ('name = "x"\nstructure = "box.pdb"\n[model]\nname = "orb-v3-direct-inf-omatt"\n', "orb-v3-direct-inf-omat"),
    ],
)
def test_a_bad_file_ends_with_one_line(text: str, expected: str, system: Path, water_box: Path) -> None:
    shutil.copyfile(water_box, system.with_name("box.pdb"))
    system.write_text("[system]\n" + text)
    result = _call("run", system)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_resume_of_no_run_ends_with_one_line(tmp_path: Path) -> None:
    result = _call("resume", tmp_path / "none")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "is not a run folder" in result.stderr


def test_a_run_in_pieces_says_how_to_go_on_and_how_far_it_came(system: Path) -> None:
    stopped = _call("run", system, "--steps", "4", "--no-analyze", "--quiet", "--max-hours", "1e-9")
    assert stopped.exit_code == 0, stopped.output
    assert stopped.stdout == "stopped in order at step 0 of minimise; go on with: orbmm resume runs/water\n"
    resumed = _call("resume", "runs/water", "--no-analyze", "--extend", "1fs")
    assert resumed.exit_code == 0, resumed.output
    assert "complete: 6 steps in runs/water" in resumed.stdout
    repeated = _call("resume", "runs/water", "--no-analyze", "--until", "3fs", "--no-lock")
    assert repeated.exit_code == 0 and "complete: 6 steps in runs/water" in repeated.stdout, repeated.output


def test_an_extension_without_a_unit_ends_with_one_line(system: Path) -> None:
    result = _call("resume", "runs/water", "--extend", "1")
    assert result.exit_code == 2
    assert result.stderr == "error: '1' is not a length of time; write a number and one of fs, ps, ns, us: 1ns\n"


def test_a_log_file_holds_messages_and_progress_and_the_screen_nothing(system: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    stopped = _call("run", system, "--steps", "4", "--no-analyze", "--log", log, "--max-hours", "1e-9")
    assert (stopped.exit_code, stopped.output) == (0, "")
    resumed = _call("resume", "runs/water", "--no-analyze", "--log", log)
    assert (resumed.exit_code, resumed.output) == (0, "")
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    text = log.read_text()
    assert "friction 1/ps for orb-mini-conservative-inf-xtb: forces are the gradient" in text
    assert "go on with: orbmm resume runs/water" in text
    assert "step 4/4" in text and "complete: 4 steps in runs/water" in text


def test_an_error_is_in_the_log_file_too(system: Path, tmp_path: Path) -> None:
    result = _call("resume", tmp_path / "none", "--log", tmp_path / "run.log")
    assert result.exit_code == 2 and "is not a run folder" in result.stderr
    assert "error: " in (tmp_path / "run.log").read_text()
    unwritable = _call("resume", tmp_path / "none", "--log", tmp_path / "no" / "run.log")
    assert unwritable.exit_code == 2 and "log file" in unwritable.stderr and unwritable.stderr.count("\n") == 1


def test_the_rmsd_is_shown_where_it_is_asked_for(system: Path) -> None:
    result = _call("run", system, "--steps", "2", "--no-analyze", "--show", "rmsd")
    assert result.exit_code == 2 and "chooses no atom" in result.stderr  # water alone has no solute
    system.write_text(system.read_text() + 'show_rmsd = "name O"\n')
    result = _call("run", system, "--steps", "2", "--no-analyze", "--output", "again")
    assert result.exit_code == 0 and "RMSD 0.001 nm" in result.stdout
    assert _call("run", system, "--show", "rmds").exit_code == 2


def test_a_length_does_not_overrule_a_stage_in_silence(system: Path) -> None:
    system.write_text(system.read_text() + '[[stage]]\nkind = "produce"\nlength_ps = 0.002\n')
    result = _call("run", system, "--steps", "2")
    assert result.exit_code == 2 and "says its own length_ps" in result.stderr
    result = _call("run", system, "--no-analyze", "--quiet")
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("no_figures")
def test_a_file_with_stages_is_run_and_analysed(system: Path) -> None:
    system.write_text(
        system.read_text()
        + 'length_ps = 0.02\n[[stage]]\nkind = "heat"\nfrom_temperature_kelvin = 10\nlength_ps = 0.005\n'
        + '[[stage.restraint]]\nkind = "position"\natoms = "name O"\n'
        + '[[stage]]\nkind = "equilibrate"\nlength_ps = 0.02\npressure_bar = 1\n'
        + '[[stage]]\nkind = "produce"\ntemperature_kelvin = 310\n'
    )
    result = _call("run", system)
    assert "heat  step 0/50" in result.stdout and "complete: 40 steps in runs/water" in result.stdout
    # 0.005 ps cannot heat it, and the analysis goes by the bath of production, not that of [run].
    assert result.exit_code == 3 and "colder than 310 K" in result.stdout


@pytest.mark.usefixtures("no_figures")
def test_a_run_with_frames_of_some_atoms_is_analysed_like_any_other(system: Path) -> None:
    system.write_text(system.read_text() + 'frame_atoms = "resid 3 to 7"\n')
    result = _call("run", system, "--steps", "20")
    assert result.exit_code in (0, 3), result.output  # a verdict, whichever
    assert "no broken bonds" in result.stdout
    results = json.loads(Path("runs/water/analysis/results.json").read_text())["results"]
    assert results["bonds"]["numbers"]["bonds"]["value"] == 10  # of the five waters in the frames
    assert results["density"]["numbers"]["mass"]["value"] == pytest.approx(15 * 18.015, rel=1e-3)  # of all fifteen
    assert len(results["confidence"]["numbers"]) > 0
    recording = read_run_folder(Path("runs/water"))
    picked = recording.pick_frame_atoms(recording.all_atoms)
    assert np.array_equal(picked.xyz, recording.all_atoms.xyz[:, 9:24])
    assert picked.topology == recording.frames.topology
    assert _call("analyze", "runs/water").exit_code == result.exit_code
