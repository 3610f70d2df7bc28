"""The candidates are the combinations that the user left open, and none that exclude each other."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tuning.conftest import CPU

from orbmm.model.inference.execution import Execution
from orbmm.settings import ModelSettings
from orbmm.tuning import candidates
from orbmm.tuning.candidates import OPEN, THREADS_VARIABLE, find_fixed, find_open, list_candidates, list_stages

GPU = torch.device("cuda", 0)


def list_all(model: ModelSettings, device: torch.device, may_compile: bool = True) -> list[dict[str, object]]:
    """The candidates of all stages, as if the first of each were the best; only what differs from the default."""
    base, found = Execution.from_settings(model), []
    for stage in list_stages(find_open(model), device, 8192, may_compile):
        listed = list_candidates(base, stage)
        base = listed[0]
        found += listed
    plain = dataclasses.asdict(Execution())
    return [{name: value for name, value in dataclasses.asdict(each).items() if value != plain[name]} for each in found]


def test_a_cpu_has_threads_then_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates.sys, "platform", "linux")
    compiled = [{"threads": 2, "compile": True}, {"threads": 1, "compile": True}]
    assert list_all(CPU, torch.device("cpu")) == [{"threads": 2}, {"threads": 1}, {"threads": 2}, *compiled]
    assert list_all(CPU, torch.device("cpu"), may_compile=False) == [{"threads": 2}, {"threads": 1}]
    lean = dataclasses.replace(CPU, memory="lean")
    assert all("compile" not in each for each in list_all(lean, torch.device("cpu"))), "they exclude each other"
    decided = dataclasses.replace(CPU, threads=2)
    assert list_all(decided, torch.device("cpu")) == [{"threads": 2}, {"threads": 2, "compile": True}]


def test_a_gpu_has_kernels_plain_and_recorded_then_blocks() -> None:
    names = ("torch", "triton", "fused")
    recorded = [{"kernels": name, "cuda_graphs": True} for name in names]
    blocks = [{"kernels": "torch", "edges_per_block": edges} for edges in (4096, 2048, 1024)]
    expected = [*({"kernels": name} for name in names), *recorded, {"kernels": "torch"}, *blocks]
    assert list_all(ModelSettings(device="cuda"), GPU, may_compile=False) == expected


def test_everything_decided_leaves_no_candidate() -> None:
    decided = {"threads": 1, "compile": False, "kernels": "torch", "cuda_graphs": False, "edges_per_block": 1024}
    assert decided.keys() == OPEN.keys()
    model = dataclasses.replace(CPU, **decided)
    assert find_open(model) == frozenset()
    assert list_all(model, torch.device("cpu")) == list_all(model, GPU) == []


def test_the_environment_decides_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "threads" in find_open(CPU) and "threads" not in find_fixed(CPU)
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert "threads" not in find_open(CPU) and find_fixed(CPU)["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("most, expected", [(1, [1]), (2, [2, 1]), (6, [6, 4, 2, 1]), (16, [16, 8, 4, 2, 1])])
def test_threads_are_all_then_powers_of_two(most: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # of the two threads of the other tests
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    assert candidates.list_threads() == expected
