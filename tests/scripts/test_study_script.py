"""scripts/study/carbonic_anhydrase_ii.py runs a small system in two parts, and reports a wrong file in one line."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import find_record
from orbmm.files import hash_file
from orbmm.model.load import make_network
from orbmm.settings import read_settings

pytestmark = pytest.mark.slow
ZINC_SITE = """\
[system]
name = "zinc-in-water"
structure = "zinc.pdb"
[model]
name = "orb-v3-direct-inf-omat"
[run]
minimize_iterations = 3
[guard] # random numbers for weights push atoms anywhere
allow_reactions = true
temperature_limit_kelvin = 1e6
force_limit_kj_mol_nm = 1e9
drift_limit_nm = 10.0
confidence_limit_factor = 100.0
"""


def run_study(repository: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(repository / "scripts" / "study" / "carbonic_anhydrase_ii.py"),
        "--output",
        str(output),
    ]
    stretch = ["--heat-ps", "0.002", "--equilibrate-ps", "0.002", "--length-ps", "0.01", "--frame-every-fs", "2.5"]
    return subprocess.run([*command, *stretch, *options], capture_output=True, text=True, check=False, timeout=300)


def test_the_study_runs_stops_goes_on_and_answers(repository: Path, tmp_path: Path) -> None:
    small = ("--system", str(repository / "systems" / "water" / "system.toml"))
    stopped = run_study(repository, tmp_path, *small, "--max-hours", "1e-9")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped in order" in stopped.stdout
    finished = run_study(repository, tmp_path, *small)
    assert finished.returncode == 0, finished.stderr
    assert "temperature" in finished.stdout.splitlines()[-1]
    folder = tmp_path / "run"
    assert (folder / "equilibration.csv").stat().st_size > 0
    assert len((folder / "energies.csv").read_text().splitlines()) > 1
    assert (folder / "analysis" / "results.json").exists()
    assert "<html" in (folder / "report.html").read_text()


def test_a_wrong_weights_file_is_one_line(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.ckpt").write_text("torn")
    system = str(repository / "systems" / "water" / "system.toml")
    done = run_study(repository, tmp_path / "out", "--system", system, "--weights", str(tmp_path / "torn.ckpt"))
    assert done.returncode == 2
    assert "torn.ckpt" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_stages_are_those_of_the_file_at_the_lengths_asked_for(repository: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "study", repository / "scripts" / "study" / "carbonic_anhydrase_ii.py"
    )
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    arguments = argparse.Namespace(
        heat_ps=1.0, equilibrate_ps=3.0, length_ps=7.0, frame_every_fs=100.0, weights=None, device="cpu"
    )
    theirs = read_settings(study.SYSTEM)
    stages = study.plan(theirs, Path("run"), arguments).stage
    assert [(stage.kind, stage.length_ps) for stage in stages[1:]] == [
        ("heat", 1.0),
        ("equilibrate", 3.0),
        ("produce", None),
    ]
    assert stages[0].kind == "minimise" and stages[1].restraint == theirs.stage[1].restraint != ()
    bare = study.plan(replace(theirs, stage=()), Path("run"), arguments).stage
    assert [stage.length_ps for stage in bare[1:]] == [1.0, 3.0, None] and bare[1].restraint == ()


def write_zinc_site(folder: Path) -> Path:
    """Zinc amid four waters, oxygen 2 Å away on the corners of a tetrahedron, in a box of 1.8 nm."""
    lines = ["CRYST1   18.000   18.000   18.000  90.00  90.00  90.00 P 1           1"]
    row = "HETATM{:5d} {:>2s}   {:>3s} A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00          {:>2s}"
    lines.append(row.format(1, "ZN", "ZN", 1, 9.0, 9.0, 9.0, "ZN"))
    for water, (x, y, z) in enumerate([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]):
        for place, (name, out, aside) in enumerate([("O", 1.155, 0.0), ("H1", 1.5, 0.75), ("H2", 1.5, -0.75)]):
            atom = (9.0 + x * out + aside * x, 9.0 + y * out - aside * y, 9.0 + z * out)
            lines.append(row.format(2 + 3 * water + place, name, "HOH", 2 + water, *atom, name[0]))
    (folder / "zinc.pdb").write_text("\n".join([*lines, "END", ""]))
    (folder / "system.toml").write_text(ZINC_SITE)
    return folder / "system.toml"


def write_random_weights(path: Path) -> Path:
    """A state dict of the architecture that the study is made with: the 24.3 million numbers that inference uses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        tensors = make_network(find_record("orb-v3-direct-inf-omat")).state_dict()
    tensors["heads.confidence.bin_edges"] = torch.linspace(0.0, 0.3, 51)  # as published
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def test_the_network_of_the_study_takes_its_first_steps_from_any_state_dict(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    weights = write_random_weights(tmp_path / "random.safetensors")
    assert weights.stat().st_size > 4 * 24e6
    system = ("--system", str(write_zinc_site(tmp_path)), "--weights", str(weights), "--device", "cpu")
    done = run_study(repository, tmp_path / "study", *system)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "study" / "run" / "run.json").read_text())
    assert record["weights_sha256"] == hash_file(weights)
    assert "step 20 of 20" in done.stdout
    results = json.loads((tmp_path / "study" / "run" / "analysis" / "results.json").read_text())["results"]
    assert results["metal_site"]["frames"] == 5
