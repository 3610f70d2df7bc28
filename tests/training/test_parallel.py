"""Two processes take the step that one process takes on the whole batch, and end together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.conftest import make_frame
from training.two_processes import compute_gradients

from orbmm.cli import processes
from orbmm.cli.processes import run_processes
from orbmm.errors import TrainingError
from orbmm.training.data.frames import write_frames
from orbmm.training.parallel import agree, map_over_processes, take_share

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left after all of two_processes.py, on frames of 6 to 12 atoms of which some have a stress."""
    folder, generator = tmp_path_factory.mktemp("two"), np.random.default_rng(7)
    frames = [make_frame(generator, 2 + index % 3, index % 3 > 0, index) for index in range(12)]
    stress = np.random.default_rng(1).normal(0.0, 0.002, 6)
    frames = [
        replace(frame, stress=stress if frame.cell is not None and index > 3 else None)
        for index, frame in enumerate(frames)
    ]
    write_frames(folder / "frames.npz", frames)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join([str(TESTS), *sys.path])
    command = [sys.executable, str(TESTS / "training" / "two_processes.py"), str(folder)]
    both = [subprocess.Popen(command, env=shared | {"RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    return folder


def compare(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """Return the largest difference of two gradients, relative to the largest gradient."""
    assert set(found) == set(expected)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected) / float(largest)


def test_two_processes_find_the_gradient_of_the_whole_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [dict(np.load(folder / f"gradients-{rank}.npz")) for rank in range(2)]
    assert all(np.array_equal(both[0][name], both[1][name]) for name in both[0])
    expected = compute_gradients(folder)
    assert compare(both[0], expected) < 1e-6  # the loss of the energy is float32

    halves = []
    for rank in range(2):  # the mean of two means, by processes that know nothing of each other
        monkeypatch.setattr("orbmm.training.parallel.find_rank", lambda rank=rank: rank)
        monkeypatch.setattr("orbmm.training.parallel.count_processes", lambda: 2)
        halves.append(compute_gradients(folder))
    means = {name: 0.5 * (halves[0].get(name, 0.0) + halves[1].get(name, 0.0)) for name in expected}
    assert compare(means, expected) > 1e-3


def test_a_training_of_two_processes_resumes_bit_by_bit(folder: Path) -> None:
    whole, parts = (torch.load(folder / name / "training.pt", weights_only=True) for name in ("whole", "parts"))
    assert whole["course"]["step"] == parts["course"]["step"] == 4
    for kind in ("network", "average"):
        assert all(torch.equal(whole[kind][name], parts[kind][name]) for name in whole[kind])
    lost = torch.load(folder / "lost" / "training.pt", weights_only=True)
    assert not all(torch.equal(whole["network"][name], lost["network"][name]) for name in whole["network"])


def test_work_is_shared_and_its_results_are_everywhere(folder: Path) -> None:
    both = [json.loads((folder / f"squares-{rank}.json").read_text("utf-8")) for rank in range(2)]
    assert both[0] == both[1] == [[0, 0], [1, 1], [4, 0], [9, 1], [16, 0]]


def test_an_error_of_one_process_is_raised_in_all(folder: Path) -> None:
    said = [(folder / f"refused-{rank}.txt").read_text("utf-8") for rank in range(2)]
    assert (
        "holds a training already" in said[1] and said[0].startswith("process 1 of 2: ") and said[0].endswith(said[1])
    )


def test_a_process_that_ends_ends_the_others_with_a_sentence(folder: Path) -> None:
    assert "another process of this training has ended" in (folder / "lost.txt").read_text("utf-8")
    assert torch.load(folder / "lost" / "training.pt", weights_only=True)["course"]["step"] == 2


def test_shares_are_even_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orbmm.training.parallel.count_processes", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr("orbmm.training.parallel.find_rank", lambda rank=rank: rank)
        shares.append(take_share(range(6), [900, 10, 300, 300, 20, 310]))
    assert sorted(index for share in shares for index in share) == list(range(6)) and shares[0] == [0]
    with pytest.raises(ValueError, match="cannot be shared"):
        take_share([1, 2], [1, 1])


def test_one_process_needs_no_others() -> None:
    assert map_over_processes(lambda item: item + 1, [1, 2]) == [2, 3] and agree(lambda: 5) == 5


def test_bad_input_of_several_processes_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_processes(["train", str(tmp_path / "absent.toml")], 2) == 2
    assert capfd.readouterr().err == f"error: {tmp_path / 'absent.toml'}: no such settings file\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("[ $RANK = 0 ] && kill -9 $$; sleep 60", "process 0 of 2 was ended by SIGKILL"),
        ("[ $RANK = 1 ] && exit 7; sleep 60", "process 1 of 2 ended with code 7"),
    ],
)
def test_a_killed_process_ends_the_others(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(processes, "_SECONDS_TO_END", 0.3)
    with pytest.raises(TrainingError, match=said):
        run_processes(["train"], 2)
