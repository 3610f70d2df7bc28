"""Read the state of a replica from its folder alone: what holds on any machine, and after any crash."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orbmm.ensemble.layout import EnsembleFolder, Member, ReplicaFolder, read_members
from orbmm.errors import OrbmmError, UnsafeFile
from orbmm.files import open_regular, read_file
from orbmm.run_files.checkpoints import PRODUCTION, list_checkpoints
from orbmm.run_files.energies import COLUMNS, LAST_COLUMN
from orbmm.settings import Settings, read_settings
from orbmm.simulation.folder.lock import find_writer

WAITING, RUNNING, STOPPED = "waiting", "running", "stopped"
COMPLETE, UNSTABLE, FAILED = "complete", "unstable", "failed"
STATES = (COMPLETE, RUNNING, STOPPED, WAITING, UNSTABLE, FAILED)
ENDED = (COMPLETE, UNSTABLE, FAILED)
_PS_PER_NS = 1000.0
_SECONDS_PER_DAY = 86400.0
_TAIL = 4096  # bytes; a row of energies.csv has some hundred
_LARGEST_SENTENCE = 100_000  # bytes


@dataclass(frozen=True)
class ReplicaState:
    """The state of a replica.

    state: one of STATES; sentence: why it is unstable or failed, else ""
    saved: phase and step of the newest checkpoint, by which progress is measured; (-1, 0) before the first
    time_ps, length_ps: of production, as far as the table goes; ns_per_day: in its last row, 0 before the first
    """

    member: Member
    state: str
    sentence: str
    saved: tuple[int, int]
    time_ps: float
    length_ps: float
    ns_per_day: float

    @property
    def seconds_left(self) -> float:
        """Return the wall-clock time that is left at the speed of the last row; NaN while it is not known."""
        left_ns = (self.length_ps - self.time_ps) / _PS_PER_NS
        return left_ns / self.ns_per_day * _SECONDS_PER_DAY if self.ns_per_day > 0.0 else math.nan


def read_states(folder: EnsembleFolder) -> tuple[ReplicaState, ...]:
    """Return the state of each replica of an ensemble. Raises RunError for a folder that is none."""
    return tuple(_read_state_or_fault(folder.replica(member.name), member) for member in read_members(folder))


def _read_state_or_fault(folder: ReplicaFolder, member: Member) -> ReplicaState:
    """Return the state of one replica; one that cannot be read has failed, and says why."""
    try:
        return read_state(folder, member)
    except OrbmmError as error:
        return ReplicaState(member, FAILED, str(error), (-1, 0), 0.0, 0.0, 0.0)


def read_state(folder: ReplicaFolder, member: Member) -> ReplicaState:
    """Return the state of one replica. Raises SettingsError for settings that cannot be read."""
    run, begun = folder.run, folder.is_begun
    files = [folder.settings, *([run.settings] if begun else [])]
    settings = max((read_settings(path) for path in files), key=_count_steps)  # the run, or the plan, was lengthened
    saved = _find_saved(run.checkpoints)
    time_ps, speed = _read_last_row(run.table)
    state, sentence = _judge(folder, _count_steps(settings), saved, begun)
    return ReplicaState(member, state, sentence, saved, time_ps, _measure_length(settings), speed)


def _judge(folder: ReplicaFolder, steps: int, saved: tuple[int, int], begun: bool) -> tuple[str, str]:
    """Return the state, and the sentence that belongs to it. steps: of production"""
    if find_writer(folder.run.path) is not None:
        return RUNNING, ""
    if saved[0] == 1 and saved[1] >= steps:
        return COMPLETE, ""
    reason = folder.run.read_reason()
    if reason is not None:
        return UNSTABLE, reason
    with suppress(OSError, UnsafeFile):
        return FAILED, read_file(folder.failure, _LARGEST_SENTENCE).decode("utf-8", errors="replace").strip()
    return (STOPPED if begun else WAITING), ""


def count_states(states: Sequence[ReplicaState]) -> str:
    """Return how many replicas there are in each state, in words."""
    counts = Counter(one.state for one in states)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _find_saved(checkpoints: Path) -> tuple[int, int]:
    try:
        found = list_checkpoints(checkpoints)
    except OSError:  # one was removed meanwhile
        found = list_checkpoints(checkpoints)
    return (int(found[-1].phase == PRODUCTION), found[-1].step) if found else (-1, 0)


def _count_steps(settings: Settings) -> int:
    return sum(stage.steps for stage in settings.stages if stage.kind == "produce")


def _measure_length(settings: Settings) -> float:
    return sum(stage.steps * stage.timestep_fs for stage in settings.stages if stage.kind == "produce") / 1000.0


def _read_last_row(table: Path) -> tuple[float, float]:
    """Return time [ps] and speed [ns/day] of the last complete row; zeros if there is none."""
    try:
        with open_regular(table, "rb") as stream:
            header = stream.readline().decode().strip().split(",")
            start = stream.tell()
            stream.seek(max(start, stream.seek(0, io.SEEK_END) - _TAIL))
            lines = stream.read().decode().split("\n")[:-1]
        row = dict(zip(header, lines[-1].split(","), strict=True))
        return float(row[COLUMNS[1]]), float(row[LAST_COLUMN])
    except (OSError, UnsafeFile, ValueError, IndexError, KeyError):
        return 0.0, 0.0
