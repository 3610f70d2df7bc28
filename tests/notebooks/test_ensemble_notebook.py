"""The notebook about an ensemble, on synthetic runs at two temperatures."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from notebooks.test_trajectory_analysis import execute

from orbmm.ensemble import analyze
from orbmm.ensemble.layout import EnsembleFolder, Member, write_members
from orbmm.settings import read_settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the Jupyter packages about each other
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def leave_replica(ensemble: EnsembleFolder, kelvin: int, seed: int) -> Member:
    """A complete replica; its analysis and the next one's differ."""
    member = Member(f"hot-{kelvin}_seed-{seed}", seed, {"run.temperature_kelvin": str(kelvin)})
    folder = ensemble.replica(member.name)
    folder.path.mkdir(parents=True)
    trajectory = make_trajectory(Jiggle(frames=16, shake_nm=0.002 + 0.001 * seed, seed=seed), waters=10)
    write_run_folder(folder.run.path, trajectory, kelvin=kelvin + seed)
    folder.settings.write_text(folder.run.settings.read_text())
    steps = sum(stage.steps for stage in read_settings(folder.run.settings).stages)
    checkpoint = folder.run.checkpoints / f"step-{steps:012d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "checkpoint.json").write_text("{}")
    return member


def test_the_notebook_compares_two_temperatures_with_errors(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = EnsembleFolder(tmp_path / "out")
    members = [leave_replica(ensemble, kelvin, seed) for kelvin in (300, 400) for seed in (1, 2)]
    write_members(ensemble, tuple(members))
    monkeypatch.setattr(analyze, "write_figures", lambda results, folder, formats: [])  # most of the time
    analyze.analyze_ensemble(ensemble.path)  # the notebook takes up the analyses of the replicas
    monkeypatch.setenv("ORBMM_ENSEMBLE", str(ensemble.path))
    cells = execute(repository / "notebooks" / "ensemble.ipynb", tmp_path, monkeypatch).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1 and base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    assert lines[0] == "4 complete"
    hot = [line for line in lines if line.startswith("Temperature: mean at temperature_kelvin = 400: ")]
    mean, difference = (float(line.split(": ")[2].split(" ± ")[0]) for line in hot)
    assert difference / mean == pytest.approx(100.0 / 401.5, rel=1e-3)  # all have the same noise, to scale
    assert "far from the others: none" in lines
    assert "page of the ensemble: report.html, with a link to the page of each replica" in lines
    assert sum(len(str(output)) for output in outputs) < 300_000
