"""Read the state of a replica from its folder alone: what holds on any machine, and after any crash."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orbmm.ensemble.layout import EnsembleFolder, Member, ReplicaFolder, read_members
from orbmm.errors import OrbmmError, UnsafeFile
from orbmm.files import open_regular, read_file
from orbmm.run_files.checkpoints import PRODUCTION, list_checkpoints
from orbmm.run_files.energies import COLUMNS, LAST_COLUMN
from orbmm.settings import read_settings
from orbmm.simulation.folder.lock import find_writer

WAITING, RUNNING, STOPPED = "waiting", "running", "stopped"
COMPLETE, UNSTABLE, FAILED = "complete", "unstable", "failed"
STATES = (COMPLETE, RUNNING, STOPPED, WAITING, UNSTABLE, FAILED)
ENDED = (COMPLETE, UNSTABLE, FAILED)
_PS_PER_NS = 1000.0
_FS_PER_PS = 1000.0
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
    lengths = [_read_length(path) for path in files]
    length = max(lengths, key=lambda one: one.steps)  # the run, or the plan, was lengthened
    saved = _find_saved(run.checkpoints)
    time_ps, speed = _read_last_row(run.table)
    state, sentence = _judge(folder, length.steps, saved, begun)
    return ReplicaState(member, state, sentence, saved, time_ps, length.ps, speed)


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


@dataclass(frozen=True)
class _Length:
    """The length of production. steps: their number; ps: their time [ps]"""

    steps: int
    ps: float


def _read_length(path: Path) -> _Length:
    """Return the length that a settings file asks for. The file is read again only after it was replaced."""
    try:
        found = path.stat()
    except OSError:
        return _read_length_of(path, ())  # raises the sentence for it
    return _read_length_of(path, (found.st_ino, found.st_mtime_ns, found.st_size))


@cache
def _read_length_of(path: Path, version: tuple[int, ...]) -> _Length:
    """Return the length. version: numbers that differ for each content of the file"""
    stages = [stage for stage in read_settings(path).stages if stage.kind == "produce"]
    steps = sum(stage.steps for stage in stages)
    return _Length(steps, sum(stage.steps * stage.timestep_fs for stage in stages) / _FS_PER_PS)


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
