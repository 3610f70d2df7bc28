"""The notebook on confidence, on a run of the embedded network."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from notebooks.test_trajectory_analysis import execute
from typer.testing import CliRunner

from orbmm.cli.main import build_app

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the Jupyter packages about each other
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_the_confidence_notebook_finds_what_the_run_wrote(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, run = repository / "systems" / "alanine-dipeptide" / "system.toml", tmp_path / "run"
    options = ["--length-ps", "0.02", "--output", str(run), "--no-analyze", "--quiet"]
    answer = CliRunner().invoke(build_app(), ["run", str(system), *options])
    assert answer.exit_code == 0, answer.output
    cells = execute(repository / "notebooks" / "confidence.ipynb", run, monkeypatch).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2 and all(base64.b64decode(each).startswith(b"\x89PNG") for each in pictures)
    text = "".join(output.get("text", "") for output in outputs)
    assert "on 256 atoms" in text and len(re.findall(r"in the last bin", text)) == 10
    errors = [float(value) for value in re.findall(r"expected error (\d\.\d+) eV/Å", text)]
    assert len(errors) == 5 and all(0.0 < error < 0.3 for error in errors) and errors[-1] != errors[0]
    assert (run / "confidence.pdb").is_file()
    assert sum(len(str(output)) for output in outputs) < 400_000
