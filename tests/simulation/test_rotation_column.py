"""The rotational gradient has a column where it is free, it is that of the frame, and it changes nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from orbmm.forces.evaluator import Evaluator
from orbmm.model.load import load_model
from orbmm.run_files.checkpoints import STATE_FILE, list_checkpoints
from orbmm.run_files.layout import RunFolder
from orbmm.run_files.state_xml import read_state
from orbmm.settings import Settings, override_settings
from orbmm.simulation.run import resume_run, start_run
from orbmm.units import ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV

COLUMN = "rotational_gradient_kJ_mol"
CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"


@pytest.fixture
def small(settings: Settings) -> Settings:
    """A run of 20 steps, with a row in every tenth."""
    model = {"name": CONSERVATIVE, "precision": "float64", "compile": False}
    return override_settings(settings, {"model": model, "run": {"length_ps": 0.01, "friction_per_ps": 1.0}})


def read_rows(folder: Path) -> np.ndarray:
    return np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)


def compute_at_the_end(folder: Path) -> float:
    """The norm [kJ/mol] at the last checkpoint, by the plain network."""
    state = read_state(list_checkpoints(folder / "checkpoints")[-1].path / STATE_FILE)
    potential = load_model(CONSERVATIVE, device="cpu", precision="float64")
    positions, cell = (torch.from_numpy(np.array(each)) * ANGSTROM_PER_NM for each in (state.positions, state.box))
    composition = potential.compose([8, 1, 1] * (len(positions) // 3))
    graph = potential.make_graph(composition, positions, cell, potential.find_edges(positions, cell))
    found = potential.network(graph, frozenset({"rotational_gradient"})).rotational_gradient
    return KJ_PER_MOL_PER_EV * float(torch.linalg.matrix_norm(found)[0])


def test_the_column_is_of_the_frame_and_costs_no_evaluation(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    predict = Evaluator._predict_checked
    monkeypatch.setattr(Evaluator, "_predict_checked", lambda self, *place: calls.append(1) or predict(self, *place))
    folder = start_run(small).folder
    with_column, rows = len(calls), read_rows(folder)
    assert len(rows) == 3
    assert rows[COLUMN][-1] == pytest.approx(compute_at_the_end(folder), rel=1e-5)
    assert len(set(rows[COLUMN])) == 3

    monkeypatch.setattr("orbmm.simulation.force_source._Network.open_rotation", lambda *_: None)
    calls.clear()
    without = read_rows(start_run(override_settings(small, {"run": {"output": small.run.output / "plain"}})).folder)
    assert COLUMN not in without.dtype.names
    assert len(calls) == with_column
    for name in without.dtype.names:
        if name != "speed_ns_per_day":
            np.testing.assert_array_equal(rows[name], without[name])


def test_a_direct_network_has_no_column(small: Settings) -> None:
    folder = start_run(override_settings(small, {"model": {"name": DIRECT}, "run": {"friction_per_ps": 100.0}})).folder
    assert COLUMN not in read_rows(folder).dtype.names


@pytest.mark.parametrize("older", [True, False])
def test_a_run_keeps_the_columns_that_it_began_with(
    older: bool, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of an older version has no such column; a newer one ends as an undisturbed run does."""
    with monkeypatch.context() as former:
        if older:
            former.setattr("orbmm.simulation.force_source._Network.open_rotation", lambda *_: None)
        outcome = start_run(small, max_hours=1e-9)
    assert not outcome.finished
    rows = read_rows(resume_run(outcome.folder).folder)
    assert len(rows) == 3
    assert (COLUMN in rows.dtype.names) is not older
    if not older:
        assert np.isfinite(rows[COLUMN]).all()
        assert rows[COLUMN][-1] == pytest.approx(compute_at_the_end(RunFolder(outcome.folder).path), rel=1e-5)
