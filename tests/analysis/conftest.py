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
def analyze() -> Callable[..., Result]:
    """Calls `orbmm analyze` with arguments, in this process."""
    return lambda *arguments: CliRunner().invoke(build_app(), ["analyze", *map(str, arguments)])
