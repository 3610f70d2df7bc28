"""The notebooks run from top to bottom, and are kept without outputs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat
import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the Jupyter packages about each other
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def execute(notebook: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """The notebook with its outputs, executed on a run folder by a kernel of this environment."""
    monkeypatch.setenv("ORBMM_RUN", str(run))
    node = nbformat.read(notebook, as_version=4)
    NotebookClient(node, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(run)}}).execute()
    return node


@pytest.fixture
def notebook(repository: Path) -> Path:
    return repository / "notebooks" / "trajectory_analysis.ipynb"


def test_the_trajectory_notebook_draws_its_figures(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=80)))
    outputs = [output for cell in execute(notebook, run, monkeypatch).cells for output in cell.get("outputs", [])]
    shown = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    pictures = re.findall(r"src='data:image/svg\+xml;base64,([^']+)'", "".join(shown))
    assert len(pictures) == 3 and all(b"<svg" in base64.b64decode(picture) for picture in pictures)
    assert "<td>" in shown[1] and shown[0].startswith("<iframe")  # numbers under a figure; the structure
    text = "".join(output.get("text", "") for output in outputs)
    assert "stable: temperature 30" in text and "Traceback" not in text


def test_the_trajectory_notebook_stops_without_a_run(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CellExecutionError, match="missing; is .* a run folder"):
        execute(notebook, tmp_path, monkeypatch)


def test_notebooks_are_kept_without_outputs(repository: Path) -> None:
    notebooks = sorted((repository / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells), path.name
