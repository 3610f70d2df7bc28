"""scripts/checks/check_official_weights.py, run as a user runs it, on random weights that orb-models writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import published_path

pytestmark = pytest.mark.slow

WATER = """\
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""


def run_script(repository, report, *arguments):
    script = repository / "scripts" / "checks" / "check_official_weights.py"
    command = [sys.executable, str(script), *map(str, arguments), "--json", str(report)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=repository)
    return done, json.loads(report.read_text())["checks"]


@pytest.mark.parametrize("name", ["orb-v3-direct-20-mpa", "orb-v3-conservative-omol"])
def test_random_official_weights_pass_audit_and_comparison(name, repository, tmp_path, cache):
    pytest.importorskip("orb_models")
    done, checks = run_script(repository, tmp_path / "report.json", name, "--state-dict-from-orb-models")
    assert done.returncode == 0, done.stdout + done.stderr
    compared = [check for check in checks if check["difference"] is not None]
    assert len(compared) >= 6 and all(check["difference"] <= check["allowed"] for check in compared)
    assert not cache.exists()


@pytest.fixture
def script(repository):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location(
        "check", repository / "scripts" / "checks" / "check_official_weights.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["check"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["check"]


def test_energies_that_were_not_compared_are_listed_and_do_not_count_as_passed(script):
    checks = list(script.compare_with_references(find_record("orb-v3-conservative-omol"), {}))
    assert [(check.passed, check.what) for check in checks] == [
        (None, "not compared: reference energy of toluene"),
        (None, "not compared: reference energy of toluene"),
        (None, "not compared: reference energy of alanine box"),
    ]
    assert "charge -1, multiplicity 3; needs --toluene, openmm-ml's test/data/toluene" in checks[1].remark
    assert not any(script.is_enough(check, without_references=False) for check in checks)
    assert all(script.is_enough(check, without_references=True) for check in checks)
    assert not script.is_enough(script.Check("model", "audit", False), without_references=True)
    assert script.show(checks).row_count == 3


def test_random_weights_do_not_pass_for_the_published_ones(repository, tmp_path, make_official):
    import torch

    name = "orb-v3-conservative-inf-omat"
    path = published_path(find_record(name))
    path.parent.mkdir(parents=True)
    torch.save(make_official("conservative", latent=256, hidden=1024).tensors, path)
    (tmp_path / "water.pdb").write_text(WATER)
    done, checks = run_script(repository, tmp_path / "report.json", name, "--toluene", tmp_path / "water.pdb")
    assert done.returncode == 1 and "FAILED" in done.stdout
    assert [
        check["passed"] for check in checks if check["what"] in ("audit", "reference: toluene, energy, eV/atom")
    ] == [
        True,
        False,
    ]


def test_weights_that_cannot_be_had_fail_their_model_with_a_sentence(repository, tmp_path, cache):
    cache.write_text("no folder")
    done, checks = run_script(repository, tmp_path / "report.json", "orb-v3-direct-20-omat")
    assert done.returncode == 1
    assert [check["what"] for check in checks] == ["load"]
    assert "cannot be written" in checks[0]["remark"]
