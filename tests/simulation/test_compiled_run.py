"""Whether a run is compiled is decided once, at its start, and kept to its end however often it is interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orbmm.forces import resolve
from orbmm.model.compiled import find_compiler, has_python_headers
from orbmm.settings import ModelSettings, Settings, override_settings, read_settings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import Forces, ForceSource
from orbmm.simulation.run import resume_run, start_run
from orbmm.simulation.start.structure import Structure


class DecidingForces:
    """Other forces, of which runs of 100 steps and more are compiled; remembers what it was asked."""

    def __init__(self, inner: ForceSource) -> None:
        self.inner = inner
        self.asked: list[tuple[int, int]] = []
        self.made: list[bool | None] = []

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> Forces:
        """By length alone."""
        if steps is not None:
            self.asked.append((len(start.positions), steps))
            model = dataclasses.replace(model, compile=steps >= 100)
        self.made.append(model.compile)
        return self.inner.resolve(model, start, steps)


def test_the_decision_is_the_runs_own_and_survives_an_extension(
    settings: Settings, classical_forces: Callable[[], ForceSource]
) -> None:
    forces = DecidingForces(classical_forces())
    steps = settings.stages[-1].steps
    assert steps < 100 < 3 * steps
    folder = start_run(settings, forces=forces).folder
    assert forces.asked == [(45, steps)]
    assert read_settings(folder / "settings.toml").model.compile is False
    longer = 2 * settings.run.length_ps
    resume_run(folder, forces=forces, request=ResumeRequest(extend_ps=longer))
    assert forces.asked == [(45, steps)], "a resumed run is not decided anew"
    assert forces.made == [False, False]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")  # torch's compiler uses it itself
def test_a_compiled_run_that_goes_on_later_is_the_longer_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "STEPS_WORTH_COMPILING", 6)
    often = {"frame_every_fs": 1.0, "table_every_fs": 0.5, "length_ps": 0.003}
    settings = override_settings(settings, {"run": often, "model": {"device": "cpu"}})
    folder = start_run(settings).folder
    assert read_settings(folder / "settings.toml").model.compile is (
        find_compiler() is not None and has_python_headers()
    )
    resume_run(folder, request=ResumeRequest(extend_ps=0.003))
    longer = override_settings(settings, {"run": {"length_ps": 0.006, "output": tmp_path / "longer"}})
    whole = start_run(longer).folder
    tables = [np.genfromtxt(run / "energies.csv", delimiter=",", names=True) for run in (folder, whole)]
    assert list(tables[0]["step"]) == list(range(13))
    for name in set(tables[0].dtype.names) - {"speed_ns_per_day"}:
        assert (tables[0][name] == tables[1][name]).all(), name
    assert (folder / "trajectory.xtc").read_bytes() == (whole / "trajectory.xtc").read_bytes()
