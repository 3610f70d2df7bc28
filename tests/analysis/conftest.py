"""Synthetic trajectories for the analysis, and the command line that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 60 frames in which nothing breaks."""
    return write_run_folder(tmp_path / "run", make_trajectory(Jiggle()))


@pytest.fixture
def analyze_and_draw() -> Callable[..., Result]:
    """Calls `orbmm analyze` with arguments, in this process; its figures take most of the time."""
    return lambda *arguments: CliRunner().invoke(build_app(), ["analyze", *map(str, arguments)])


@pytest.fixture
def analyze(analyze_and_draw: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls `orbmm analyze` with arguments, in this process, and has no figure drawn: for tests of all the rest."""
    monkeypatch.setattr("orbmm.report.write_figures", lambda results, folder, formats: [])
    return analyze_and_draw
