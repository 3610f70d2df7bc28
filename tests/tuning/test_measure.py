"""Candidates of a real network, with times that are made up: right answers are needed to be taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from openmm import app
from tuning.conftest import CPU, LONG, make_case

from orbmm.errors import ModelError
from orbmm.first_contact import case as case_module
from orbmm.first_contact.compare import Answers
from orbmm.forces import tuned
from orbmm.model.inference.execution import Execution
from orbmm.model.potential import Potential
from orbmm.tuning import measure
from orbmm.tuning.measure import HOPELESS, Measured, Opened, take_times
from orbmm.tuning.record import Record, Row


def is_one(execution: Execution) -> bool:
    return execution.threads == 1


def one_is_faster(execution: Execution) -> float:
    return 0.1 if is_one(execution) else 0.2


@pytest.fixture
def measured(water: app.Modeller, positions: np.ndarray, fake_times, monkeypatch: pytest.MonkeyPatch):
    """Called with what happens to an opened candidate of one thread, the faster one: the record and the settings."""
    monkeypatch.setattr(case_module, "SITES_PER_EDGE", 3)
    fake_times(one_is_faster)
    opens = tuned.ForceDoors.open

    def run(spoil: Callable[[Opened], Opened]) -> tuple[Record, int | None]:
        def open_spoiled(doors: tuned.ForceDoors, execution: Execution) -> Opened:
            opened = opens(doors, execution)
            return spoil(opened) if is_one(execution) else opened

        monkeypatch.setattr(tuned.ForceDoors, "open", open_spoiled)
        settings = tuned.tune_for_run(CPU, water.topology, positions, LONG)
        resolved = tuned.resolve_for_run(CPU, 18, None)
        record = tuned.read_record(tuned.describe_situation(resolved, make_case(18)))
        assert record is not None
        return record, settings.threads

    return run


def test_the_faster_candidate_is_taken(measured) -> None:
    record, threads = measured(lambda opened: opened)
    assert [row.fault for row in record.rows] == [None, None] and threads == 1


def test_a_faster_candidate_that_computes_another_network_is_not(measured) -> None:
    def spoil(opened: Opened) -> Opened:
        potential = opened.potential
        with torch.no_grad():
            potential.network.model.gnn_stacks[0]._node_mlp.mlp[0].weight[0, 0] += 0.01
        return dataclasses.replace(opened, potential=potential)

    record, threads = measured(spoil)
    assert threads == 2 and "the weights on it are not those of the file" in record.rows[1].fault


def test_a_faster_candidate_with_a_wrong_force_on_one_of_the_users_atoms_is_not(measured) -> None:
    def spoil(opened: Opened) -> Opened:
        def evaluate() -> Answers:
            answers = opened.evaluate()
            answers.forces[0, 7, 1] += 0.01  # eV/Å
            return answers

        return Opened(opened.potential, evaluate)

    record, threads = measured(spoil)
    assert threads == 2 and record.rows[1].fault.startswith("forces differ by 10 meV/Å from the plain network")


def test_a_faster_candidate_that_gives_nan_is_not(measured) -> None:
    def spoil(opened: Opened) -> Opened:
        def evaluate() -> Answers:
            return dataclasses.replace(opened.evaluate(), energies=np.array([np.nan]))

        return Opened(opened.potential, evaluate)

    record, threads = measured(spoil)
    assert threads == 2 and "energy differs" in record.rows[1].fault


@pytest.mark.parametrize(
    "error, fault",
    [
        (MemoryError(), "not enough memory"),
        (ModelError("no such kernel\nmore"), "no such kernel"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_candidate_that_fails_is_left_out_with_its_reason(measured, error: Exception, fault: str) -> None:
    def spoil(opened: Opened) -> Opened:
        raise error

    record, threads = measured(spoil)
    assert threads == 2 and record.rows[1].fault == fault and np.isinf(record.rows[1].evaluation_s)


ANSWERS = Answers(np.zeros(1), np.zeros((1, 1, 3)), None)


class Machine:
    """A processor whose time a test makes up: evaluations take so long, and other programs slow them down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow_down: Callable[[int], float] = lambda count: 1.0) -> None:
        self.now, self.count, self.slow_down = 0.0, 0, slow_down
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def open(self, seconds: float) -> Opened:
        def evaluate() -> Answers:
            self.count += 1
            self.now += seconds * self.slow_down(self.count)
            return ANSWERS

        return Opened(Potential.__new__(Potential), evaluate)


def make_best(opened: Opened | None, seconds: float) -> Measured:
    return Measured(Row(Execution(threads=2), seconds, seconds, seconds), opened)


def test_a_hopeless_candidate_is_not_measured_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    take_times(machine.open(0.1), 1.0, make_best(None, 0.09 / HOPELESS))
    assert machine.count == 3, "the first evaluation warms up"
    take_times(machine.open(0.1), 1.0, make_best(None, 0.11 / HOPELESS))
    assert machine.count == 3 + 1 + 10


def test_programs_that_come_later_do_not_make_a_candidate_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine became 3 times slower after the best one was measured with 0.1 s; the other is twice as fast."""
    machine = Machine(monkeypatch, lambda count: 3.0)
    times, _ = take_times(machine.open(0.05), 1.0, make_best(machine.open(0.1), 0.1))
    assert times.evaluation_s == pytest.approx(0.05)


def test_without_taking_turns_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda count: 3.0)
    times, _ = take_times(machine.open(0.05), 1.0, make_best(None, 0.1))
    assert times.evaluation_s == pytest.approx(0.15)
