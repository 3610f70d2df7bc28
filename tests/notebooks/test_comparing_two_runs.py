"""The notebook that compares two runs."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from notebooks.test_trajectory_analysis import execute

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the Jupyter packages about each other
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_a_hotter_and_looser_run_is_told_apart(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = make_trajectory(Jiggle(frames=40, shake_nm=0.002), waters=30)
    loose = make_trajectory(Jiggle(frames=40, shake_nm=0.006, seed=1), waters=30)
    first = write_run_folder(tmp_path / "quiet", quiet)
    monkeypatch.setenv("ORBMM_OTHER_RUN", str(write_run_folder(tmp_path / "loose", loose, kelvin=400.0)))
    cells = execute(repository / "notebooks" / "comparing_two_runs.ipynb", first, monkeypatch).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1 and base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    temperature = next(line for line in lines if line.startswith("temperature mean: "))
    assert float(temperature.split()[-4]) > 5.0 and temperature.endswith("standard errors apart")
    rmsd = next(line for line in lines if line.startswith("rmsd backbone_mean: ")).split()
    assert float(rmsd[4]) > 2.0 * float(rmsd[2]) > 0.0
    assert any(line.startswith("loose: ") for line in lines)
    assert sum(len(str(output)) for output in outputs) < 300_000
