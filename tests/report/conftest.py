"""Results of a synthetic run, to be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder

from orbmm.analysis import Result, analyze_recording, read_run_folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Everything that is measured on a run of 40 frames, the first tenth discarded."""
    folder: Path = tmp_path_factory.mktemp("runs") / "run"
    moving = make_trajectory(Jiggle(frames=40, shake_nm=0.005))
    return analyze_recording(read_run_folder(write_run_folder(folder, moving)), discard_ps=0.04).results
