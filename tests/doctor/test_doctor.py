"""The doctor finds what works, and notices what does not."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from orbmm.doctor import installation as searches
from orbmm.doctor import installation as versions
from orbmm.doctor import self_test
from orbmm.doctor.diagnose import diagnose
from orbmm.doctor.installation import Finding, State, check_platforms, check_searches
from orbmm.doctor.self_test import try_force
from orbmm.graph.edges import EdgeList
from orbmm.graph.search.brute_force import search_brute_force
from orbmm.graph.search.choose import METHODS
from orbmm.graph.search.protocol import Candidates


def test_nothing_is_broken_in_a_tested_environment() -> None:
    findings = [finding for _, section in diagnose() for finding in section]
    assert [finding for finding in findings if finding.state is State.BROKEN] == []
    assert {"torch", "Reference", "brute_force", "PythonForce on Reference"} <= {each.subject for each in findings}


def test_the_reference_platform_is_found_to_run() -> None:
    assert Finding("Reference", State.GOOD, "runs") in check_platforms()


def test_a_missing_package_is_named_and_ends_the_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "REQUIRED", ("no-such-package",))
    sections = list(diagnose())
    assert [title for title, _ in sections] == ["Versions"]
    assert Finding("no-such-package", State.BROKEN, "not installed", "pip install no-such-package") in sections[0][1]


def test_forces_that_are_not_the_models_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert try_force("PythonForce", "Reference").state is State.GOOD
    wrong = np.full((6, 3), 0.01)
    monkeypatch.setattr(self_test, "predict_dimer", lambda: self_test.Labels(energy_ev=0.0, forces=wrong))
    assert try_force("PythonForce", "Reference").state is State.BROKEN


def test_a_force_that_cannot_run_is_reported_with_its_reason() -> None:
    finding = try_force("PythonTorchForce", "Reference")
    assert finding.state is State.LIMITED
    assert "PythonTorchForce" in finding.seen


@pytest.mark.parametrize("method", ["brute_force", "kd_tree", "cell_list"])
def test_every_search_is_found_to_work(method: str) -> None:
    assert {finding.subject: finding.state for finding in check_searches()}[method] is State.GOOD


def test_a_search_that_loses_edges_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def search_with_holes(*arguments: object) -> Candidates:
        found = search_brute_force(*arguments)
        return Candidates(found.senders[::2], found.receivers[::2], found.shifts[::2])

    monkeypatch.setattr("orbmm.graph.search.kd_tree.search_kd_tree", search_with_holes)
    states = {finding.subject: finding.state for finding in check_searches()}
    assert states["brute_force"] is State.GOOD
    assert states["kd_tree"] is State.BROKEN


@pytest.fixture
def cuml(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cuML that can be imported and is asked for nothing."""
    package, neighbors = ModuleType("cuml"), ModuleType("cuml.neighbors")
    package.neighbors = neighbors
    monkeypatch.setitem(sys.modules, "cuml", package)
    monkeypatch.setitem(sys.modules, "cuml.neighbors", neighbors)


@pytest.mark.usefixtures("cuml")
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")
def test_a_search_that_needs_a_gpu_is_no_defect_of_a_machine_without_one() -> None:
    finding = next(finding for finding in check_searches() if finding.subject == "ball_cover")
    assert finding.state is State.LIMITED
    assert "needs its atoms on a CUDA device, got cpu" in finding.seen


def test_searches_are_tried_on_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def search_edges(name: str, device: str) -> EdgeList:
        tried.append((name, device))
        return EdgeList(*torch.zeros(3, 1, dtype=torch.int64))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(searches, "_search", search_edges)
    assert {finding.state for finding in check_searches()} == {State.GOOD}
    assert tried == [("brute_force", "cpu"), *((name, "cuda") for name in METHODS)]


def test_an_error_of_the_gpu_is_a_finding_of_its_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Candidates:
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with another TORCH_USE_CUDA_DSA")

    monkeypatch.setattr("orbmm.graph.search.cell_list.search_cell_list", fail)
    broken = [finding for finding in check_searches() if finding.state is State.BROKEN]
    assert broken == [Finding("cell_list", State.BROKEN, "CUDA error: no kernel image is available")]
