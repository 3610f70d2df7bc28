"""A real protein the whole way on the command line: `orbmm prepare`, `orbmm run`, `orbmm analyze` of chignolin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.settings import read_settings
from orbmm.training.data.frames import read_frames

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what torch and Warp warn of on loading is not ours
]
STEPS = 20
FEWEST_COLOURS = 20  # of a panel in which something is drawn
SHORTEST_BOND = 0.8  # angstrom; a fragment cut across the box would put atoms into each other
LARGEST_RMSD = 1.0  # angstrom: 10 fs at 300 K move an atom by some tenths


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


@pytest.fixture
def recipe(shared_structures: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of the repository with the file on this machine and little relaxing, in an otherwise empty folder."""
    monkeypatch.chdir(tmp_path)
    text = (repository / "systems" / "chignolin" / "system.toml").read_text()
    text = text.replace('"pdb:1UAO"', f'"{shared_structures / "1uao.pdb"}"')
    text = text.replace("length_ps = 0.5\n", "length_ps = 0.01\n")
    text = text.replace("frame_every_fs = 20\ntable_every_fs = 20\n", "frame_every_fs = 5\ntable_every_fs = 5\n")
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("[run]\n", "[run]\nminimize_iterations = 5\n"))
    return path


def test_chignolin_goes_from_its_pdb_entry_to_an_rmsd(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, repository: Path
) -> None:
    prepared = call("prepare", recipe, "--padding-nm", "0.3", "--equilibration-ps", "0")
    assert prepared.exit_code == 0, prepared.output
    settings = tmp_path / "prepared" / "chignolin" / "system.toml"
    assert "1 ASP charged, 1 GLU charged" in " ".join(prepared.stdout.split())
    assert "ions: 2 NA" in " ".join(prepared.stdout.split())
    assert "not for research" in " ".join(prepared.stdout.split())
    assert read_settings(settings).run.minimize_iterations == 5

    run = call("run", settings, "--steps", str(STEPS), "--no-analyze")
    assert run.exit_code == 0, run.output
    assert f"complete: {STEPS} steps in runs/chignolin" in run.stdout
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("hydrogen_mass_amu is 4: averages of the structure stay the same, but times do not.")

    analysis = call("analyze", "runs/chignolin")
    assert analysis.exit_code in (0, 3), analysis.output  # a verdict, whichever
    assert "RMSD" in analysis.stdout
    results = json.loads(Path("runs/chignolin/analysis/results.json").read_text())["results"]
    rmsd = results["rmsd"]["numbers"]["backbone_last"]
    assert rmsd["unit"] == "angstrom" and 0.0 < rmsd["value"] < LARGEST_RMSD

    script = [sys.executable, repository / "scripts" / "study" / "draw_protein.py", "runs/chignolin", "picture.png"]
    subprocess.run(script, check=True)
    picture = matplotlib.image.imread("picture.png")[..., :3]
    panels = [half for rows in np.array_split(picture, 2) for half in np.array_split(rows, 2, axis=1)]
    assert all(len(np.unique(panel.reshape(-1, 3), axis=0)) > FEWEST_COLOURS for panel in panels)

    script = [sys.executable, repository / "scripts" / "embedded" / "cut_run.py", "runs/chignolin", "own.npz"]
    subprocess.run([*script, "--frames", "2", "--each", "3"], check=True)
    fragments = read_frames(Path("own.npz"))
    assert len(fragments) == 2 * 3
    assert all(fragment.charge is not None and fragment.group.startswith("own-chignolin-") for fragment in fragments)
    distances = [np.linalg.norm(each.positions[:, None] - each.positions, axis=-1) for each in fragments]
    assert min(np.sort(each.ravel())[len(each)] for each in distances) > SHORTEST_BOND
