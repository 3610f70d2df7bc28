"""Which replica is tried again, and which is given up: decided from its folder after every attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed.scheduler import KilledWorker

from orbmm.ensemble import run as module
from orbmm.ensemble.layout import ReplicaFolder
from orbmm.ensemble.run import MOST_LOSSES, Update, run_ensemble
from orbmm.ensemble.scheduler import Session
from orbmm.ensemble.state import ReplicaState
from orbmm.ensemble.task import Ending, Order
from orbmm.errors import RunError
from orbmm.settings import EnsembleSettings

from .conftest import STEPS

Attempt = Callable[[ReplicaFolder, int], Ending | BaseException]


class Future:
    """An attempt that has ended."""

    def __init__(self, outcome: Ending | BaseException) -> None:
        self.outcome = outcome
        self.status = "error" if isinstance(outcome, BaseException) else "finished"

    def done(self) -> bool:
        return True

    def result(self) -> Ending | BaseException:
        return self.outcome

    exception = result

    def release(self) -> None:
        pass


class Client:
    """Carries out each attempt at once, as a test says; counts them by replica."""

    dashboard_link = "http://page"
    status = "running"

    def __init__(self, attempt: Attempt) -> None:
        self.attempt, self.keys, self.ended = attempt, [], []

    def run(self, function: Callable, session: str, on_error: str) -> None:
        self.ended.append((function.__name__, session))

    def submit(self, function: Callable, order: Order, key: str, **options: Any) -> Future:
        assert key not in self.keys
        self.keys.append(key)
        return Future(self.attempt(ReplicaFolder(order.folder), int(key.rpartition("-")[2])))


@pytest.fixture
def perform(make_settings: Callable[..., EnsembleSettings], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Called with what an attempt does and the lines of an ensemble: the final states, and the client."""
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.0)

    def run(attempt: Attempt, text: str = "", **options: Any) -> tuple[tuple[ReplicaState, ...], Client]:
        client = Client(attempt)

        @contextmanager
        def open_session(*rest: object) -> Iterator[Session]:
            yield Session(client)

        monkeypatch.setattr(module, "open_session", open_session)
        return run_ensemble(make_settings(text), **options), client

    return run


@pytest.fixture
def advance(leave_run: Callable[..., None]) -> Callable[[ReplicaFolder, int], Ending]:
    """Called with a replica and a step: a run that was stopped in order there."""

    def reach(folder: ReplicaFolder, step: int) -> Ending:
        leave_run(folder, step)
        return Ending(0, "", "here")

    return reach


def test_a_replica_is_submitted_until_it_is_complete(perform: Callable, advance: Callable) -> None:
    states, client = perform(lambda folder, number: advance(folder, STEPS // 3 * number + 1), "replicas = 2")
    assert [one.state for one in states] == ["complete", "complete"]
    assert sorted(client.keys) == [f"seed-{seed}-{number}" for seed in (1, 2) for number in (1, 2, 3)]


def test_the_same_command_again_goes_on_where_it_was(perform: Callable, advance: Callable) -> None:
    perform(lambda folder, number: advance(folder, STEPS))
    states, client = perform(lambda folder, number: pytest.fail("it is complete"), "")
    assert (states[0].state, client.keys) == ("complete", [])


def test_attempts_without_a_new_checkpoint_are_counted(perform: Callable) -> None:
    states, client = perform(lambda folder, number: Ending(-11, "SIGSEGV", "here"), "[scheduler]\nretries = 2")
    assert (states[0].state, states[0].sentence, len(client.keys)) == ("failed", "SIGSEGV", 3)


def test_progress_begins_the_count_anew(perform: Callable, advance: Callable) -> None:
    def attempt(folder: ReplicaFolder, number: int) -> Ending:
        if number % 3 == 0:
            advance(folder, number)
        return Ending(-9, "SIGKILL", "here")

    states, client = perform(attempt, "[scheduler]\nretries = 2")
    assert (states[0].state, len(client.keys)) == ("complete", STEPS)


def test_bad_input_is_not_tried_again(perform: Callable) -> None:
    states, client = perform(lambda folder, number: Ending(2, "no such weights", "here"), "replicas = 2")
    assert [one.state for one in states] == ["failed", "failed"] and len(client.keys) == 2
    assert states[0].sentence == "no such weights"


def test_a_run_that_has_begun_is_tried_again_whatever_its_error_is(perform: Callable, advance: Callable) -> None:
    def attempt(folder: ReplicaFolder, number: int) -> Ending:
        if number == 1:
            advance(folder, 5)
        return Ending(2, "cannot write: Input/output error", "here")

    states, client = perform(attempt, "[scheduler]\nretries = 2")
    assert (states[0].state, len(client.keys)) == ("failed", 4)


def test_a_failed_replica_has_a_new_chance_with_the_next_command(perform: Callable, advance: Callable) -> None:
    perform(lambda folder, number: Ending(2, "no such weights", "here"))
    states, _ = perform(lambda folder, number: advance(folder, STEPS))
    assert (states[0].state, states[0].sentence) == ("complete", "")


def test_an_unstable_replica_is_left_and_the_others_go_on(perform: Callable, advance: Callable) -> None:
    def attempt(folder: ReplicaFolder, number: int) -> Ending:
        if folder.path.name != "seed-1":
            return advance(folder, STEPS)
        advance(folder, 5)
        reason = folder.run.rescue / "step-000000000007" / "reason.txt"
        reason.parent.mkdir(parents=True)
        reason.write_text("step 7: a bond broke")
        return Ending(3, "step 7: a bond broke; ...", "here")

    states, client = perform(attempt, "replicas = 2")
    assert [(one.state, one.sentence) for one in states] == [("unstable", "step 7: a bond broke"), ("complete", "")]
    assert len(client.keys) == 2
    states, client = perform(lambda folder, number: pytest.fail("it is unstable"), "replicas = 2")
    assert client.keys == []


def test_a_lost_worker_is_no_failure_of_the_replica(perform: Callable, advance: Callable) -> None:
    lost = KilledWorker("key", None, 0)

    def attempt(folder: ReplicaFolder, number: int) -> Ending | BaseException:
        return lost if number <= MOST_LOSSES else advance(folder, STEPS)

    states, client = perform(attempt, "[scheduler]\nretries = 0")
    assert states[0].state == "complete" and len(client.keys) == MOST_LOSSES + 1


def test_a_replica_that_loses_every_worker_is_given_up(perform: Callable) -> None:
    states, client = perform(lambda folder, number: KilledWorker("key", None, 0))
    assert (states[0].state, states[0].sentence) == ("failed", "its worker was lost")
    assert len(client.keys) == MOST_LOSSES + 1


def test_an_error_on_a_worker_is_the_sentence(perform: Callable) -> None:
    states, _ = perform(lambda folder, number: ModuleNotFoundError("No module named 'orbmm'"))
    assert states[0].sentence == "ModuleNotFoundError: No module named 'orbmm'"


def test_a_time_limit_ends_the_ensemble_in_order(perform: Callable) -> None:
    states, client = perform(lambda folder, number: Ending(0, "", "here"), max_hours=1e-9)
    assert states[0].state == "waiting" and len(client.keys) == 1
    assert [name for name, _ in client.ended] == ["end_runs"]


def test_a_scheduler_that_is_gone_is_an_error(perform: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "status", "closed")
    with pytest.raises(RunError, match="the Dask scheduler is gone"):
        perform(lambda folder, number: Ending(0, "", "here"))


def test_updates_hold_every_state_and_the_page_of_dask(perform: Callable, advance: Callable, tmp_path: Path) -> None:
    updates: list[Update] = []
    perform(lambda folder, number: advance(folder, STEPS // 3 * number + 1), on_update=updates.append)
    assert updates[0].dashboard == "http://page" and updates[0].folder.path == tmp_path / "out"
    assert updates[-1].states[0].state == "complete"
