"""scripts/checks/soak_two_networks.py: two networks on one System give the same ends, and the soak sees it if not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.graph.verlet import VerletList
from orbmm.model.inference.workspace import Workspace

SCRIPT = "scripts/checks/soak_two_networks.py"
KINDS = ("TorchForce", "PythonForce")


@pytest.fixture(scope="module", autouse=True)
def _own_networks() -> Iterator[None]:
    yield
    forget_evaluators()


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


def soak_shortly(script: ModuleType, kind: str, wanted: dict[str, int]) -> list[str]:
    box = script.make_waters()
    own = script.Soak(box, script.build_system(box, kind), "CPU", 2)
    differences = script.run_soak(own, wanted)
    assert sum(own.done.values()) == sum(wanted.values())
    assert own.witness.evaluations > 10 * sum(wanted.values())
    return differences


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, require_force_kind: Callable[[str], str]) -> str:
    return require_force_kind(request.param)


def test_two_networks_on_one_system_give_the_same_ends_in_every_way(script: ModuleType, kind: str) -> None:
    assert soak_shortly(script, kind, {"run": 10}) == []


def test_minimisations_in_two_threads_give_the_same_ends(
    script: ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "WAYS", ("threads",))
    assert soak_shortly(script, kind, {"minimisation": 2}) == []


def test_an_answer_for_other_coordinates_is_seen(
    script: ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twin: once, an evaluator gives the answer that it gave at first."""
    predict, answers = Evaluator._predict, []

    def remember(evaluator: Evaluator, *structure: object) -> object:
        answers.append((evaluator, predict(evaluator, *structure)))
        if len(answers) != 60:
            return answers[-1][1]
        return next(answer for known, answer in answers if known is evaluator)

    monkeypatch.setattr(Evaluator, "_predict", remember)
    monkeypatch.setattr(script, "WAYS", ("kept",))
    differences = soak_shortly(script, kind, {"run": 4})
    assert len([each for each in differences if each.startswith("an evaluation of orb-mini-")]) == 1
    assert len([each for each in differences if "the end is" in each]) == 1


def test_pairs_that_are_kept_for_too_long_are_seen(
    script: ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twin: the list of close pairs, which all Contexts share, is never searched anew."""
    monkeypatch.setattr(VerletList, "_is_near", lambda *_: True)
    monkeypatch.setattr(script, "WAYS", ("reloaded",))
    assert soak_shortly(script, kind, {"run": 2})


def test_arrays_that_threads_share_are_seen(script: ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twin: all predictions work in the same arrays, as if a network kept them."""
    arrays: dict[str, Tensor] = {}

    def share(space: Workspace, device: torch.device) -> None:
        space.device, space._arrays = device, arrays

    take = Workspace.take

    def take_in_turn(space: Workspace, *request: Any) -> Tensor:
        time.sleep(0.0005)  # the other thread computes meanwhile
        return take(space, *request)

    monkeypatch.setattr(Workspace, "__init__", share)
    monkeypatch.setattr(Workspace, "take", take_in_turn)
    monkeypatch.setattr(script, "WAYS", ("kept",))
    assert soak_shortly(script, kind, {"run": 1}) == []
    monkeypatch.setattr(script, "WAYS", ("threads",))
    assert soak_shortly(script, kind, {"run": 2})


def test_watching_leaves_the_evaluator_as_it_was(script: ModuleType) -> None:
    before = dict(vars(Evaluator))
    with script.Witness().watch():
        assert vars(Evaluator) != before
    assert vars(Evaluator) == before


def test_a_soak_goes_on_where_its_log_ends(script: ModuleType, tmp_path: Path) -> None:
    box = script.make_waters()
    system = script.build_system(box, "PythonForce")
    first, second = (script.Soak(box, system, "CPU", 2) for _ in range(2))
    script.run_soak(first, {"run": 5})
    log = tmp_path / "soak.jsonl"
    log.write_text(json.dumps(script.describe(first)) + "\n", encoding="utf-8")
    script.read_log(log, second)
    assert script.run_soak(second, {"run": 5}) == []
    assert second.done == first.done
    second.witness.ends["run from start 0"] = "an end of another process"
    (difference,) = script.run_soak(second, {"run": 5})
    assert "an end of another process" in difference
    box.positions[0][:] += 0.1
    with pytest.raises(SystemExit, match="other starts"):
        script.read_log(log, second)


@pytest.mark.slow
def test_a_hundred_minimisations_and_runs_under_load_give_the_same_ends(kind: str, repository: Path) -> None:
    command = [sys.executable, str(repository / SCRIPT), "--force", kind, "--minimisations", "100", "--runs", "50"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=1_200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["differences"] == []
    assert sum(report["done"].values()) == 150
