"""A real protein the whole way on the command line: `orbmm prepare`, `orbmm run`, `orbmm analyze` of chignolin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.settings import read_settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what torch and Warp warn of on loading is not ours
]
STEPS = 20
LARGEST_RMSD = 1.0  # angstrom: 10 fs at 300 K move an atom by some tenths


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


@pytest.fixture
def recipe(shared_structures: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of the repository with the file on this machine and little relaxing, in an otherwise empty folder."""
    monkeypatch.chdir(tmp_path)
    text = (repository / "systems" / "chignolin" / "system.toml").read_text()
    text = text.replace('"pdb:1UAO"', f'"{shared_structures / "1uao.pdb"}"')
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("[run]\n", "[run]\nminimize_iterations = 5\n"))
    return path


def test_chignolin_goes_from_its_pdb_entry_to_an_rmsd(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = call("prepare", recipe, "--padding-nm", "0.3", "--equilibration-ps", "0")
    assert prepared.exit_code == 0, prepared.output
    settings = tmp_path / "prepared" / "chignolin" / "system.toml"
    assert "ASP as ASH: A:3 (pH 3.5)" in " ".join(prepared.stdout.split())
    assert "not for research" in " ".join(prepared.stdout.split())
    assert read_settings(settings).run.minimize_iterations == 5

    run = call("run", settings, "--steps", str(STEPS), "--no-analyze")
    assert run.exit_code == 0, run.output
    assert f"complete: {STEPS} steps in runs/chignolin" in run.stdout
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    untrained = "ASP, GLU, PRO, THR, TRP, TYR in water: expect wrong forces there."
    assert warning.startswith(f"orb-mini-conservative-inf-xtb was not trained on {untrained}")

    analysis = call("analyze", "runs/chignolin")
    assert analysis.exit_code in (0, 3), analysis.output  # a verdict, whichever
    assert "RMSD" in analysis.stdout
    results = json.loads(Path("runs/chignolin/analysis/results.json").read_text())["results"]
    rmsd = results["rmsd"]["numbers"]["backbone_last"]
    assert rmsd["unit"] == "angstrom" and 0.0 < rmsd["value"] < LARGEST_RMSD
