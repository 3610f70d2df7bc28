"""The state of a replica is what its folder shows, and nothing else."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orbmm.ensemble.folder import claim_ensemble
from orbmm.ensemble.layout import EnsembleFolder, ReplicaFolder, read_members
from orbmm.ensemble.plan import plan_ensemble
from orbmm.ensemble.state import ReplicaState, count_states, read_states
from orbmm.ensemble.watch import build_table, describe_ensemble, list_sentences
from orbmm.errors import RunError
from orbmm.settings import EnsembleSettings

from .conftest import STEPS, SYSTEM

Make = Callable[..., EnsembleSettings]
NAMES = ("waiting", "stopped", "complete", "unstable", "failed", "running")


@pytest.fixture
def folder(make_settings: Make) -> EnsembleFolder:
    """The folder of an ensemble of six replicas, none of which has begun."""
    with claim_ensemble(plan_ensemble(make_settings(f"replicas = {len(NAMES)}"))) as made:
        return made


def _write_lock(replica: ReplicaFolder, pid: int, host: str, age_s: float) -> None:
    time = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
    replica.run.path.mkdir(exist_ok=True)
    (replica.run.path / "run.lock").write_text(json.dumps({"pid": pid, "host": host, "time": time}))


def _read(folder: EnsembleFolder) -> dict[int, ReplicaState]:
    return {one.member.seed: one for one in read_states(folder)}


def test_each_state_is_read_from_the_files(folder: EnsembleFolder, leave_run: Callable[..., None]) -> None:
    replicas = {seed: folder.replica(f"seed-{seed}") for seed in range(1, 7)}
    leave_run(replicas[2], STEPS // 2)
    leave_run(replicas[3], STEPS)
    leave_run(replicas[4], 5)
    reason = replicas[4].run.rescue / "step-000000000007" / "reason.txt"
    reason.parent.mkdir(parents=True)
    reason.write_text("step 7: too hot\n")
    leave_run(replicas[5], 5)
    replicas[5].failure.write_text("no room\n")
    leave_run(replicas[6], 5, "equilibration")
    _write_lock(replicas[6], os.getppid(), socket.gethostname(), 1.0)
    states = _read(folder)
    assert [states[seed].state for seed in range(1, 7)] == list(NAMES)
    assert [states[seed].saved for seed in (1, 2, 6)] == [(-1, 0), (1, STEPS // 2), (0, 5)]
    assert list_sentences(list(states.values())) == ["seed-4: unstable: step 7: too hot", "seed-5: failed: no room"]
    expected = "1 complete, 1 running, 1 stopped, 1 waiting, 1 unstable, 1 failed"
    assert count_states(list(states.values())) == expected
    assert describe_ensemble(list(states.values())).startswith(expected)
    assert build_table(list(states.values()), 2).row_count == 2


@pytest.mark.parametrize(
    ("pid", "host", "age_s", "state"),
    [
        (2**22 + 1, socket.gethostname(), 1.0, "waiting"),  # no process has such a number
        (1, "elsewhere", 5.0, "running"),
        (1, "elsewhere", 100.0, "waiting"),
    ],
)
def test_a_writer_counts_as_long_as_it_gives_signs(
    pid: int, host: str, age_s: float, state: str, folder: EnsembleFolder
) -> None:
    _write_lock(folder.replica("seed-1"), pid, host, age_s)
    assert _read(folder)[1].state == state


def test_time_and_speed_are_those_of_the_last_complete_row(
    folder: EnsembleFolder, leave_run: Callable[..., None]
) -> None:
    replica = folder.replica("seed-1")
    leave_run(replica, 5)
    replica.run.table.write_text("step,time_ps,speed_ns_per_day\n0,0.0,0\n10,0.005,2.5\n20,0.0")
    state = _read(folder)[1]
    assert (state.time_ps, state.ns_per_day, state.length_ps) == (0.005, 2.5, STEPS * 0.0005)
    assert state.seconds_left == pytest.approx((STEPS * 0.0005 - 0.005) / 1000 / 2.5 * 86400)


def test_a_length_is_read_again_when_the_settings_were_replaced(make_settings: Make) -> None:
    before = STEPS * 0.0005
    for length_ps in (before, 0.07, before):
        lines = SYSTEM.replace(f"length_ps = {before}", f"length_ps = {length_ps}")
        with claim_ensemble(plan_ensemble(make_settings("", lines))) as folder:
            assert [_read(folder)[1].length_ps for _ in range(2)] == [length_ps] * 2


def test_a_folder_that_is_no_ensemble_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not the folder of an ensemble: it has no plan\.json"):
        read_members(EnsembleFolder(tmp_path))
    for damage in ("[", '[{"name": "../x", "seed": 1, "point": {}}]', '[{"name": "x"}]', "[3]"):
        (tmp_path / "plan.json").write_text(damage)
        with pytest.raises(RunError, match="is damaged"):
            read_members(EnsembleFolder(tmp_path))


def test_an_old_note_of_this_machine_is_no_writer(folder: EnsembleFolder, leave_run: Callable[..., None]) -> None:
    """After a crash the number of its process may belong to any other program."""
    replica = folder.replica("seed-1")
    leave_run(replica, 5)
    for age_s, state in ((1.0, "running"), (1000.0, "stopped")):
        _write_lock(replica, os.getppid(), socket.gethostname(), age_s)
        assert _read(folder)[1].state == state


def test_a_replica_that_cannot_be_read_does_not_hide_the_others(
    folder: EnsembleFolder, leave_run: Callable[..., None]
) -> None:
    leave_run(folder.replica("seed-2"), STEPS)
    folder.replica("seed-1").settings.unlink()
    states = _read(folder)
    assert [states[seed].state for seed in (1, 2, 3)] == ["failed", "complete", "waiting"]
    assert "no such settings file" in states[1].sentence


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: EnsembleFolder) -> None:
    text = folder.plan.read_text(encoding="utf-8").replace('"seed-1"', '".."')
    folder.plan.write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="is damaged"):
        _read(folder)


def test_a_file_is_not_the_folder_of_an_ensemble(tmp_path: Path) -> None:
    (tmp_path / "e.toml").touch()
    with pytest.raises(RunError, match="is not the folder of an ensemble"):
        read_states(EnsembleFolder(tmp_path / "e.toml"))
