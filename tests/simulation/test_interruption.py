"""Signals end a run in order: a checkpoint, exit code 0, and nothing lost after resuming."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orbmm.errors import RunError
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame
from orbmm.settings import Settings, override_settings, write_settings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]

NOTICES = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]
CHILD = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import ClassicalForces
from orbmm.settings import read_settings
from orbmm.simulation.run import start_run
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests were started by nohup
outcome = start_run(read_settings(sys.argv[2]), lambda progress: print(progress.step, flush=True), ClassicalForces())
print("finished" if outcome.finished else f"stopped {outcome.step}")
"""


def _start_child(settings: Settings, path: Path) -> subprocess.Popen[str]:
    write_settings(settings, path)
    arguments = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(path)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def _wait_for_step(child: subprocess.Popen[str], step: int) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= step:
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # the others are alike, see below
def test_a_signal_ends_the_run_with_a_checkpoint_that_continues_it_exactly(
    number: signal.Signals, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"length_ps": 0.5, "checkpoint_every_ps": 0.25}})
    child = _start_child(settings, tmp_path / "system.toml")
    _wait_for_step(child, 100)
    child.send_signal(number)
    if number in NOTICES:
        child.send_signal(number)  # as a terminal that goes, or a job and its step, often do
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    stopped = int(output.splitlines()[-1].removeprefix("stopped "))
    assert 100 <= stopped < 1000
    assert settings.run.output is not None
    names = sorted(path.name for path in (settings.run.output / "checkpoints").iterdir())
    assert names[-1] == f"step-{stopped:012d}"
    assert resume_run(settings.run.output, forces=classical_forces()).step == 1000
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    rows = [
        np.genfromtxt(folder / "energies.csv", delimiter=",", usecols=range(6))
        for folder in (settings.run.output, whole.folder)
    ]
    assert np.array_equal(rows[0][1:], rows[1][1:])


def test_a_second_signal_ends_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores Ctrl-C
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.requested
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", NOTICES)
def test_a_notice_may_come_twice_and_a_stop_after_it_ends_at_once(number: signal.Signals) -> None:
    seen: list[int] = []
    before = {one: signal.signal(one, lambda got, frame: seen.append(got)) for one in (number, signal.SIGTERM)}
    try:
        with Interruption() as interruption:
            assert not interruption.requested
            signal.raise_signal(number)
            assert interruption.requested
            signal.raise_signal(number)
            assert seen == []
            signal.raise_signal(signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        signal.raise_signal(number)
        assert seen == [signal.SIGTERM, number]
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.mark.parametrize(("ignored", "requested"), [(True, False), (False, True)])
def test_a_run_under_nohup_does_not_end_with_its_terminal(ignored: bool, requested: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.requested is requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_former_handlers_come_back() -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, *NOTICES)}
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    assert {one: signal.getsignal(one) for one in before} == before


def test_a_run_at_the_end_of_its_hours_saves_ends_and_resumes_to_the_same(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"length_ps": 0.5, "checkpoint_every_ps": 0.25}})
    # Twenty looks at the run of 0.1 s each: however fast the machine, the half second is over before the last step.
    outcome = start_run(settings, lambda _: time.sleep(0.1), forces=classical_forces(), max_hours=0.5 / 3600.0)
    assert not outcome.finished and outcome.step < 1000
    steps, folder = [outcome.step], outcome.folder
    while not outcome.finished:
        outcome = resume_run(folder, forces=classical_forces(), request=ResumeRequest(max_hours=2.0 / 3600.0))
        steps.append(outcome.step)
    assert len(steps) >= 2 and steps == sorted(steps) and steps[-1] == 1000
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    assert (folder / "trajectory.xtc").read_bytes() == (whole.folder / "trajectory.xtc").read_bytes()


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan")])
def test_hours_that_are_no_time_are_refused(hours: float, settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(RunError, match="max-hours is .* but must be above 0"):
        start_run(settings, forces=classical_forces(), max_hours=hours)


def test_a_signal_while_the_structure_is_relaxed_ends_the_run_and_it_resumes_from_the_beginning(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"minimize": True}})
    stopped = start_run(settings, forces=classical_forces(), max_hours=1e-9)
    assert (stopped.step, stopped.finished) == (0, False)
    assert not list(stopped.folder.glob("checkpoints/*"))
    assert resume_run(stopped.folder, forces=classical_forces()).step == 60
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    assert (stopped.folder / "trajectory.xtc").read_bytes() == (whole.folder / "trajectory.xtc").read_bytes()


def test_a_run_killed_before_its_first_checkpoint_is_begun_anew(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    whole = start_run(settings, forces=classical_forces()).folder
    killed = tmp_path / "killed"
    shutil.copytree(whole, killed)
    shutil.rmtree(killed / "checkpoints")
    # Of step 0, as if the kill came between the first row and the checkpoint.
    table = (killed / "energies.csv").read_text().splitlines(keepends=True)
    (killed / "energies.csv").write_text("".join(table[:2]))
    content = (killed / "trajectory.xtc").read_bytes()
    (killed / "trajectory.xtc").write_bytes(content[: measure_frame(content[:HEADER_BYTES])])
    assert resume_run(killed, forces=classical_forces()).step == 60
    assert (killed / "trajectory.xtc").read_bytes() == (whole / "trajectory.xtc").read_bytes()


def test_a_killed_run_resumes_exactly(settings: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    settings = override_settings(settings, {"run": {"length_ps": 0.1}})
    child = _start_child(settings, tmp_path / "system.toml")
    _wait_for_step(child, 60)
    time.sleep(0.05)
    child.kill()
    child.communicate()
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).step == 200
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    assert (settings.run.output / "trajectory.xtc").read_bytes() == (whole.folder / "trajectory.xtc").read_bytes()
