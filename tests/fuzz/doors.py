"""The functions by which the commands read a file, each called as they call it, with what has to come of it.

A door either returns what it read or raises an OrbmmError of a sentence or two. Anything else, an answer that takes
longer than LONGEST_S, an atom that is lost or a position that is not finite is a fault.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from fuzz.seeds import list_pdb, make_file, make_moving
from openmm import unit

from orbmm.analysis.reading.b_factors import read_b_factors
from orbmm.analysis.reading.run_folder import read_plain_trajectory
from orbmm.errors import OrbmmError
from orbmm.plain_text import make_line
from orbmm.preparation.reading.alternate_locations import choose_locations
from orbmm.preparation.reading.read_structure import read_structure
from orbmm.preparation.reading.source import read_source
from orbmm.preparation.solute import build_solute
from orbmm.settings import SystemSettings, format_settings, read_settings
from orbmm.settings.preparation import PreparationSettings
from orbmm.simulation.start.structure import read_start

LONGEST_S = 10
ROUNDING_NM = 0.00052  # of GRO, which keeps 0.001 nm


@dataclass(frozen=True)
class Read:
    """What a door returned.

    atoms, frames: how many (one frame of a structure); finite: all positions; warned: what it warned of
    same: the frames are those of the sound file, one by one
    """

    atoms: int
    frames: int = 1
    finite: bool = True
    warned: str = ""
    same: bool = True


@dataclass(frozen=True)
class Outcome:
    """Either what was read or the sentence instead of it."""

    read: Read | None = None
    sentence: str | None = None


class TooSlow(BaseException):
    """No reader may catch this one."""


def ask(read: Callable[[Path], Read], path: Path) -> Outcome:
    """The outcome of a door for a file. Raises AssertionError where it takes too long; other exceptions are faults."""
    try:
        with _limit_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Outcome(read(path))
    except OrbmmError as error:
        assert error.exit_code == 2
        return Outcome(sentence=str(error))
    except TooSlow as error:
        raise AssertionError(f"no answer within {LONGEST_S} s") from error


def ask_content(read: Callable[[Path], Read], content: bytes, name: str) -> Outcome:
    """The outcome of a door for a file of this name with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return ask(read, path)


def check_outcome(outcome: Outcome) -> None:
    """Fail unless it is finite numbers of atoms, or at most two lines that a terminal can show."""
    if outcome.sentence is not None:
        shown = make_line(outcome.sentence)
        assert 1 <= len(outcome.sentence.splitlines()) <= 2 and len(shown.splitlines()) == 1, outcome.sentence
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", shown), outcome.sentence
    else:
        assert outcome.read.atoms > 0 and outcome.read.frames > 0 and outcome.read.finite, outcome.read


@contextmanager
def _limit_time() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, LONGEST_S)  # that of pytest-timeout goes on afterwards
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def read_settings_file(path: Path) -> Read:
    """SYSTEM.toml, as every command reads it; written out and read again, it is the same."""
    settings = read_settings(path)
    again = path.with_name("again.toml")
    again.write_text(format_settings(settings, path.parent), encoding="utf-8")
    assert read_settings(again) == settings
    return Read(atoms=1)


def read_start_of_run(path: Path) -> Read:
    """The structure of `orbmm run` and `orbmm estimate`."""
    start = read_start(SystemSettings(name="x", structure=path))
    assert start.topology.getNumAtoms() == len(start.positions)
    return Read(len(start.positions), finite=bool(np.isfinite(start.positions).all()))


def read_source_of_box(path: Path) -> Read:
    """The structure of `orbmm prepare`, before it is repaired."""

    reading = read_structure(choose_locations(read_source(str(path)), {})[0])
    positions = np.array(reading.fixer.positions.value_in_unit(unit.nanometer))
    assert reading.fixer.topology.getNumAtoms() == len(positions)
    return Read(len(positions), finite=bool(np.isfinite(positions).all()), warned=" ".join(reading.warnings))


def build_solute_of_box(path: Path) -> Read:
    """The structure of `orbmm prepare`, repaired and protonated: atoms come and go."""

    solute = build_solute(SystemSettings(name="x", source=str(path)), PreparationSettings(), None)
    positions = np.array(solute.modeller.positions.value_in_unit(unit.nanometer))
    return Read(len(positions), finite=bool(np.isfinite(positions).all()))


def read_topology(path: Path) -> Read:
    """The --topology of `orbmm analyze`, beside a sound trajectory."""
    start = read_plain_trajectory(_keep_file("moving.xtc"), path).start
    return Read(start.n_atoms, finite=bool(np.isfinite(start.xyz).all()))


def read_crystal(path: Path) -> Read:
    """The --crystal of `orbmm analyze`."""
    factors = read_b_factors(path)
    return Read(len(factors), finite=bool(np.isfinite(list(factors.values())).all()))


def read_trajectory(path: Path) -> Read:
    """The --trajectory of `orbmm analyze`, every frame of it, beside a sound topology."""
    recording = read_plain_trajectory(path, _keep_file(f"start{'-without-box' * (path.suffix == '.xyz')}.pdb"))
    chunks = list(recording.frames.read_chunks())
    xyz, times = np.concatenate([chunk.xyz for chunk in chunks]), np.concatenate([chunk.time for chunk in chunks])
    assert xyz.shape == (len(times), recording.start.n_atoms, 3)
    sound = make_moving().xyz[: len(xyz)]
    same = sound.shape == xyz.shape and bool(np.abs(sound - xyz).max() < ROUNDING_NM)
    return Read(xyz.shape[1], len(xyz), bool(np.isfinite(xyz).all()), same=same)


def end_the_process(path: Path) -> Read:
    """No door of orbmm: what a reader in C does at its worst."""
    os.abort()


@cache
def _keep_file(name: str) -> Path:
    """A sound file that lies there as long as the process lives."""
    folder = tempfile.TemporaryDirectory()
    _FOLDERS.append(folder)
    path = Path(folder.name) / name
    path.write_bytes(make_file(".xtc") if name.endswith(".xtc") else list_pdb()["without" in name])
    return path


_FOLDERS: list[tempfile.TemporaryDirectory] = []

DOORS: dict[str, Callable[[Path], Read]] = {
    each.__name__: each
    for each in (
        read_settings_file, read_start_of_run, read_source_of_box, build_solute_of_box, read_topology, read_crystal,
        read_trajectory, end_the_process,
    )
}  # fmt: skip
