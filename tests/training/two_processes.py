"""One of two processes that train together, for test_parallel: python two_processes.py FOLDER."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.conftest import CONSERVATIVE, make_settings

from orbmm.errors import TrainingError
from orbmm.settings.training import TrainingSettings
from orbmm.training.data.batches import LabelledGraph, random_rotation
from orbmm.training.data.reading import LabelledData, read_file
from orbmm.training.parallel import find_rank, join_processes, map_over_processes
from orbmm.training.run import prepare_task, run_training
from orbmm.training.steps import loop

CHANGES = {
    "rotation_share": 0.2,
    "edges_per_batch": 700,
    "clip": 1e9,
    "energy_ramp": 0.0,
    "from_scratch": False,
    "stress_weight": 0.3,
    "validate_every": 1,
}


class Recorder:
    """An optimizer that keeps the gradients and changes nothing."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network
        self.gradients: dict[str, np.ndarray] = {}

    def step(self) -> None:
        for name, weight in self.network.named_parameters():
            if weight.grad is not None:
                self.gradients[name] = weight.grad.numpy().copy()
                weight.grad = None


def compute_gradients(folder: Path) -> dict[str, np.ndarray]:
    """Return the gradients of the first step, by the loop itself, in float64: rounding is no question then."""
    settings = make_settings(folder, CONSERVATIVE, **CHANGES)
    frames = read_file(folder / "frames.npz", settings.data)
    task = prepare_task(settings, LabelledData(frames, []), folder)
    network = task.network.double()
    task = replace(task, network=network, training=[_widen(graph) for graph in task.training])
    recorder = Recorder(network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "random_rotation", lambda generator: random_rotation(generator).double())
        loop._take_step(task, loop.Course(network, network, recorder))
    return recorder.gradients


def _widen(graph: LabelledGraph) -> LabelledGraph:
    names = ("positions", "vectors", "forces", "stress", "cell")
    arrays = {name: getattr(graph, name) for name in names}
    return replace(graph, **{name: array.double() for name, array in arrays.items() if array is not None})


def settings_in(folder: Path, output: str) -> TrainingSettings:
    """Return settings of four steps, with a save after two of them."""
    settings = make_settings(folder / output, CONSERVATIVE, **CHANGES)
    data = replace(settings.data, training=(folder / "frames.npz",), validation_share=0.3)
    return replace(settings, data=data)


class _Killed(Exception):
    pass


def train_with_a_stop(folder: Path, output: str, stop: object) -> None:
    """Train until step 2, at which `stop` is called."""
    original = loop._draw

    def draw_or_stop(graphs: object, settings: object, step: int, *more: object) -> object:
        if step == 2:
            stop()  # type: ignore[operator]
        return original(graphs, settings, step, *more)

    loop._draw = draw_or_stop
    try:
        run_training(settings_in(folder, output))
    finally:
        loop._draw = original


def _raise_killed() -> None:
    raise _Killed


def main(folder: Path) -> None:
    """Do everything that the tests look at; the last thing is the end of process 1 without a word."""
    torch.set_num_threads(1)
    with join_processes():
        rank = find_rank()
        np.savez(folder / f"gradients-{rank}.npz", **compute_gradients(folder))
        squares = map_over_processes(lambda number: (number**2, rank), range(5))
        (folder / f"squares-{rank}.json").write_text(json.dumps(squares), encoding="utf-8")
        run_training(settings_in(folder, "whole"))
        try:
            train_with_a_stop(folder, "parts", _raise_killed)
        except _Killed:
            torch.distributed.barrier()  # process 0 was still saving
            run_training(settings_in(folder, "parts"), resume=True)
        try:
            run_training(settings_in(folder, "whole" if rank else "absent"))
        except TrainingError as error:
            (folder / f"refused-{rank}.txt").write_text(str(error), encoding="utf-8")
        try:
            train_with_a_stop(folder, "lost", lambda: os._exit(0) if rank else None)
        except TrainingError as error:
            (folder / "lost.txt").write_text(str(error), encoding="utf-8")
            shutil.rmtree(folder / "absent", ignore_errors=True)
        os._exit(0)  # the group cannot be closed without the other


if __name__ == "__main__":
    main(Path(sys.argv[1]))
