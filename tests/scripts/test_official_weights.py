"""scripts/checks/official_weights.py, run as a user runs it, on random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from oracles.random_weights import randomize_state_dict

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import published_path
from orbmm.model.load import make_network

WATER = """\
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""
OMOL = "orb-v3-conservative-omol"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test, not made yet."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run_script(repository: Path, report: Path, *arguments: object):
    script = repository / "scripts" / "checks" / "official_weights.py"
    command = [sys.executable, str(script), *map(str, arguments), "--json", str(report)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=repository)
    return done, json.loads(report.read_text())["models"] if report.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orb-v3-direct-20-mpa", OMOL])
def test_random_weights_of_orb_models_equal_orb_models_with_an_unknown_multiplicity_too(
    name, repository, tmp_path, cache
):
    pytest.importorskip("orb_models")
    done, models = run_script(repository, tmp_path / "report.json", name, "--random")
    assert done.returncode == 0, done.stdout + done.stderr
    compared = [check for check in models[0]["checks"] if check["difference"] is not None]
    assert len(compared) >= 6 and all(check["difference"] <= check["allowed"] for check in compared)
    assert not cache.exists()


@pytest.mark.slow
def test_random_weights_do_not_pass_for_published_ones_and_absent_structures_are_named(repository, tmp_path):
    record, folder = find_record(OMOL), tmp_path / "weights"
    folder.mkdir()
    tensors = randomize_state_dict(make_network(record).state_dict(), 1, omol=True)
    torch.save(tensors, folder / published_path(record).name)
    done, models = run_script(repository, tmp_path / "report.json", OMOL, "--folder", folder)
    assert done.returncode == 1 and "FAILED" in done.stdout
    checks = {check["what"]: check for check in models[0]["checks"]}
    assert checks["published, benzene, charge 1, multiplicity 0: energy, eV"]["passed"] is False
    absent = checks["published, alanine_box, charge 0, multiplicity 1: not compared"]
    assert absent["passed"] is None and "alanine-dipeptide-explicit.pdb of openmm-ml" in absent["remark"]
    if find_spec("orb_models"):  # the file lacks tensors that it needs to load
        assert "Missing key" in checks["orb-models: loads the file"]["remark"] and "Traceback" not in done.stderr
    assert models[0]["seconds"] > 0 and models[0]["verdict"] == "not verified against published values"


def test_weights_that_cannot_be_had_fail_their_model_with_a_sentence(repository, tmp_path):
    name = "orb-v3-direct-20-omat"
    done, models = run_script(repository, tmp_path / "report.json", name, "--folder", tmp_path)
    assert done.returncode == 1
    assert [check["what"] for check in models[0]["checks"]] == ["load"]
    assert "does not exist: put the file of orb-v3-direct-20-omat there" in models[0]["checks"][0]["remark"]


def test_another_structure_of_that_name_is_refused(repository, tmp_path):
    (tmp_path / "toluene.pdb").write_text(WATER)
    done, _ = run_script(repository, tmp_path / "report.json", OMOL, "--folder", tmp_path, "--structures", tmp_path)
    assert done.returncode == 2
    assert "toluene.pdb has 3 atoms, but toluene has 15" in done.stderr and "Traceback" not in done.stderr


def test_what_was_left_out_fails_only_a_strict_check(load_script):
    from orbmm.checkpoints.proof import Check, WeightsProof

    script = load_script("scripts/checks/official_weights.py")
    checks = (Check("tensors", True), Check("published", None, published=True))
    proofs = [WeightsProof("model", "", "", 0.0, checks)]
    assert script.has_passed(proofs, strict=False) and not script.has_passed(proofs, strict=True)
    failed = [WeightsProof("model", "", "", 0.0, (Check("tensors", False),))]
    assert not script.has_passed(failed, strict=False)
    assert script.show(proofs).row_count == 2
