"""A cache of the test's own, a small system, and times that a test makes up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from orbmm.first_contact.case import Case, build_lattice
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.model.inference.execution import Execution
from orbmm.settings import ModelSettings
from orbmm.tuning import candidates, measure
from orbmm.tuning.measure import Opened, Times

DIRECT = "orb-mini-direct-inf-xtb"
CPU = ModelSettings(DIRECT, device="cpu", force="PythonForce")
LONG, SHORT = 1_000_000, 100  # steps


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache. Threads are open, and torch has two of them to choose from."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(candidates.THREADS_VARIABLE, raising=False)
    monkeypatch.setattr(candidates, "list_threads", lambda: [2, 1])
    forget_evaluators()
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def water() -> app.Modeller:
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=6, neutralize=False)
    return modeller


def make_case(atoms: int) -> Case:
    """So many atoms in a box."""
    return build_lattice(np.resize([8, 1, 1], atoms), 50.0 * np.eye(3))


@pytest.fixture
def positions(water: app.Modeller) -> np.ndarray:
    """(N, 3) [nm]"""
    return np.array(water.positions.value_in_unit(unit.nanometer))


FakeTimes = Callable[[Callable[[Execution], float]], list[Execution]]


@pytest.fixture
def fake_times(monkeypatch: pytest.MonkeyPatch) -> FakeTimes:
    """Called with the seconds of each candidate; returns the list of those that are measured from then on."""

    def fake(seconds: Callable[[Execution], float]) -> list[Execution]:
        measured: list[Execution] = []
        whole = measure.measure_candidate

        def note(execution: Execution, doors: object, trial: object, best: object = None) -> object:
            measured.append(execution)
            return whole(execution, doors, trial, best)

        def take(opened: Opened, limit_s: float, best: object) -> tuple[Times, object]:
            answers = opened.evaluate()
            return Times(seconds(measured[-1]), 2.0 * seconds(measured[-1]), 30.0), answers

        for place in ("model.potential", "forces.evaluator"):  # two threads on a busy machine take long
            monkeypatch.setattr(f"orbmm.{place}.in_threads", lambda count: nullcontext())
        monkeypatch.setattr("orbmm.tuning.tune.measure_candidate", note)
        monkeypatch.setattr(measure, "take_times", take)
        return measured

    return fake
