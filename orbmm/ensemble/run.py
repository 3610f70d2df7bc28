"""Run an ensemble: give replicas to workers, try again what failed, until each one is complete, unstable or failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orbmm.ensemble.folder import claim_ensemble
from orbmm.ensemble.layout import EnsembleFolder
from orbmm.ensemble.plan import Plan, Replica, plan_ensemble
from orbmm.ensemble.scheduler import Session, check_dask, open_session
from orbmm.ensemble.state import (
    COMPLETE,
    ENDED,
    FAILED,
    RUNNING,
    UNSTABLE,
    WAITING,
    ReplicaState,
    read_state,
    read_states,
)
from orbmm.ensemble.task import Ending, Order, perform_replica
from orbmm.errors import RunError
from orbmm.files import write_file
from orbmm.settings import EnsembleSettings, read_ensemble_settings
from orbmm.simulation.interruption import Interruption

_LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_UPDATES = 2.0
LONGEST_PAUSE_SECONDS = 60.0
MOST_LOSSES = 20
"""Number of workers that may be lost in a row with a replica that makes no progress."""

NOT_RUN_AGAIN = (COMPLETE, UNSTABLE)
"""States of replicas that the next command leaves as they are."""

_BAD_INPUT = 2  # exit code
_SECONDS_TO_END = 60.0


@dataclass(frozen=True)
class Update:
    """A look at an ensemble while it runs. dashboard: address of Dask's page, "" without one"""

    folder: EnsembleFolder
    states: tuple[ReplicaState, ...]
    dashboard: str


OnUpdate = Callable[[Update], None]


def ignore_update(update: Update) -> None:
    """Do nothing with an update."""


def run_ensemble(
    settings: EnsembleSettings | Path | str, on_update: OnUpdate = ignore_update, max_hours: float | None = None
) -> tuple[ReplicaState, ...]:
    """Run every replica that is not complete, and return the state of each at the end.

    settings: of the ensemble, or the path of their file; the same ones given again go on where the ensemble was
    max_hours: wall-clock time after which all replicas save a checkpoint and end; a signal does the same
    Raises SettingsError for settings that cannot be, RunError for a folder in use or a scheduler that is not there.
    In a script of yours, call it below `if __name__ == "__main__":`, because local workers import the script.
    """
    if not isinstance(settings, EnsembleSettings):
        settings = read_ensemble_settings(settings)
    plan = plan_ensemble(settings)
    check_dask(settings.scheduler.kind)
    interruption = Interruption(max_hours)
    with claim_ensemble(plan) as folder, interruption:
        left = [one for one in plan.replicas if _read(folder, one).state not in NOT_RUN_AGAIN]
        if left:
            devices = [one.settings.model.device for one in left]
            with open_session(settings.scheduler, devices, folder.jobs) as session:
                _Coordinator(plan, session, on_update).run(left, interruption)
            on_update(Update(folder, read_states(folder), ""))
        return read_states(folder)


def _read(folder: EnsembleFolder, replica: Replica) -> ReplicaState:
    return read_state(folder.replica(replica.name), replica.member)


@dataclass
class _Attempts:
    """The attempts at a replica since its last progress. saved: its newest checkpoint at that time"""

    saved: tuple[int, int]
    failures: int = 0
    losses: int = 0
    number: int = 0


@dataclass
class _Coordinator:
    """The loop that gives replicas to workers. It keeps nothing that the run folders do not show as well."""

    plan: Plan
    session: Session
    on_update: OnUpdate
    _futures: dict[Any, Replica] = field(default_factory=dict)
    _paused: list[tuple[float, Replica]] = field(default_factory=list)
    _attempts: dict[str, _Attempts] = field(default_factory=dict)
    _next_update: float = 0.0

    def run(self, replicas: list[Replica], interruption: Interruption) -> None:
        """Run replicas until each has ended, or until the ensemble is interrupted."""
        for replica in replicas:
            folder = self.plan.folder.replica(replica.name)
            folder.failure.unlink(missing_ok=True)
            self._attempts[replica.name] = _Attempts(_read(self.plan.folder, replica).saved)
            self._submit(replica)
        while (self._futures or self._paused) and not interruption.requested:
            self._collect()
            self._submit_due()
            self._tell()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self._futures:
            self._end_runs()

    def _end_runs(self) -> None:
        """Let every run save a checkpoint and end, and wait for that."""
        self.session.end_runs()
        deadline = time.monotonic() + _SECONDS_TO_END
        while time.monotonic() < deadline and any(one.state == RUNNING for one in read_states(self.plan.folder)):
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _submit(self, replica: Replica) -> None:
        attempts = self._attempts[replica.name]
        attempts.number += 1
        folder, threads = self.plan.folder.replica(replica.name), self.plan.settings.scheduler.threads
        order = Order(folder.path, self.session.name, threads, self.session.gpus)
        key = f"{replica.name}-{attempts.number}"
        future = self.session.client.submit(perform_replica, order, key=key, pure=False, retries=0)
        self._futures[future] = replica

    def _submit_due(self) -> None:
        now = time.monotonic()
        due = [replica for begin, replica in self._paused if begin <= now]
        self._paused = [(begin, replica) for begin, replica in self._paused if begin > now]
        for replica in due:
            self._submit(replica)

    def _collect(self) -> None:
        """Look at every attempt that has ended."""
        if self.session.client.status not in ("running", "connecting"):
            raise RunError("the Dask scheduler is gone; give the same command again to go on")
        for future in [one for one in self._futures if one.done()]:
            replica = self._futures.pop(future)
            ending, lost = _read_ending(future)
            future.release()
            self._judge(replica, ending, lost)

    def _judge(self, replica: Replica, ending: Ending, lost: bool) -> None:
        """Decide, from the folder of a replica, whether it has ended or is tried again."""
        state, attempts = _read(self.plan.folder, replica), self._attempts[replica.name]
        if state.state in ENDED:
            _LOG.info("%s: %s%s", replica.name, state.state, f": {state.sentence}" if state.sentence else "")
            return
        advanced = state.saved > attempts.saved
        if advanced:
            attempts.saved, attempts.failures, attempts.losses = state.saved, 0, 0
        if state.state == RUNNING:  # another process has the folder; the next attempt waits for it
            self._submit(replica)
            return
        attempts.losses += lost and not advanced
        attempts.failures += not (lost or advanced)
        is_bad_input = ending.exit_code == _BAD_INPUT and state.state == WAITING  # nothing was computed
        if is_bad_input or attempts.losses > MOST_LOSSES or attempts.failures > self.plan.settings.scheduler.retries:
            self._give_up(replica, ending.sentence)
            return
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (attempts.failures - 1)) if attempts.failures else 0.0
        _LOG.info("%s: %s; it is tried again", replica.name, ending.sentence or "ended before its last step")
        self._paused.append((time.monotonic() + pause, replica))

    def _give_up(self, replica: Replica, sentence: str) -> None:
        folder = self.plan.folder.replica(replica.name)
        _LOG.info("%s: %s: %s", replica.name, FAILED, sentence)
        try:
            write_file(folder.failure, f"{sentence or 'it ended before its last step, without an error'}\n".encode())
        except OSError as error:
            _LOG.warning("%s cannot be written (%s); the replica counts as stopped", folder.failure, error.strerror)

    def _tell(self) -> None:
        """Pass the states on, at intervals that leave most of the time to other work."""
        began = time.monotonic()
        if began < self._next_update:
            return
        states = read_states(self.plan.folder)
        self.session.replace_workers()
        self.on_update(Update(self.plan.folder, states, self.session.dashboard))
        self._next_update = time.monotonic() + max(SECONDS_BETWEEN_UPDATES, 10.0 * (time.monotonic() - began))


def _read_ending(future: Any) -> tuple[Ending, bool]:
    """Return how an attempt ended, and whether its worker was lost."""
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return future.result(), False
    error = future.exception() if future.status == "error" else None
    lost = error is None or isinstance(error, KilledWorker)
    return Ending(-1, "its worker was lost" if lost else f"{type(error).__name__}: {error}", ""), lost
