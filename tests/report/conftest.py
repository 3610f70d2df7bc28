"""Results of a synthetic run, to be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder

from orbmm.analysis import Result, analyze_recording, compute_confidence, read_run_folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Everything that is measured on a run of 40 frames, the first tenth discarded."""
    folder: Path = tmp_path_factory.mktemp("runs") / "run"
    moving = make_trajectory(Jiggle(frames=40, shake_nm=0.005))
    return analyze_recording(read_run_folder(write_run_folder(folder, moving)), discard_ps=0.04).results


@pytest.fixture(scope="module")
def confident(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The confidence of a run of 6 records."""
    moving = make_trajectory(Jiggle(frames=6))
    folder = write_run_folder(tmp_path_factory.mktemp("runs") / "run", moving)
    recording = read_run_folder(write_confidence(folder, make_errors(6, moving.n_atoms)))
    return compute_confidence(recording.confidence, recording.all_atoms.topology)
