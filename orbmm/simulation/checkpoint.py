"""Checkpoints: one folder each, written whole or not at all, the last two kept."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import openmm

from orbmm.errors import RunError
from orbmm.files import sync_folder, write_new
from orbmm.simulation.schedule import PlannedStage, name_step

_LOG = logging.getLogger(__name__)

KEPT = 2
_STATE = "state.xml"
_BINARY = "context.chk"
_INDEX = "checkpoint.json"
_UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Checkpoint:
    """One finished checkpoint.

    step: of the phase; stage: its number, None in runs of before there were stages, which only produced
    sizes: of the files that this phase writes, when it was written [bytes]
    """

    path: Path
    step: int
    stage: int | None
    sizes: Mapping[str, int]


def write_checkpoint(folder: Path, context: openmm.Context, planned: PlannedStage, sizes: Mapping[str, int]) -> None:
    """Save the Context of a stage beside its predecessors: portable XML, binary, and an index with their hashes.

    Everything is synced under a provisional name and then renamed, so that a kill leaves no half checkpoint.
    """
    step = context.getStepCount()
    state = context.getState(positions=True, velocities=True, parameters=True)
    contents = {_STATE: openmm.XmlSerializer.serialize(state).encode(), _BINARY: context.createCheckpoint()}
    index = {
        "step": step,
        "stage": planned.number,
        "platform": context.getPlatform().getName(),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "sizes": dict(sizes),
    }
    unfinished = folder / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, content in contents.items():
        write_new(unfinished / name, content)
    write_new(unfinished / _INDEX, json.dumps(index, indent=1).encode())
    sync_folder(unfinished)
    unfinished.rename(folder / name_step(planned.phase, step))
    sync_folder(folder)
    for old in _list_folders(folder)[:-KEPT]:
        shutil.rmtree(old)


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are whole; a damaged one is passed over with a log line.

    None where the run was stopped before it wrote its first. Raises RunError if all are damaged.
    """
    found = _list_folders(folder)
    if not found:
        return None
    for path in reversed(found):
        try:
            return _read_index(path)
        except (OSError, ValueError, KeyError) as error:
            _LOG.warning("checkpoint %s is damaged (%s); the one before it is used", path, error)
    raise RunError(f"{folder} holds no usable checkpoint; start the run again in another folder")


def drop_later(checkpoint: Checkpoint) -> None:
    """Remove what was written after this checkpoint: damaged ones, whose steps will be taken again."""
    for path in _list_folders(checkpoint.path.parent):
        if path.name > checkpoint.path.name:
            shutil.rmtree(path)


def load_checkpoint(checkpoint: Checkpoint, context: openmm.Context) -> bool:
    """Bring the Context to the checkpoint; True if exactly, with the bath's random numbers, from the binary file.

    Another platform, OpenMM or machine may refuse that file: then positions, velocities, box and step come from the
    XML, and the caller has to reseed the bath.
    """
    try:
        context.loadCheckpoint((checkpoint.path / _BINARY).read_bytes())
    except openmm.OpenMMException as error:
        _LOG.warning("the binary checkpoint does not load here (%s); going on from the portable state", error)
        context.setState(openmm.XmlSerializer.deserialize((checkpoint.path / _STATE).read_text(encoding="utf-8")))
        return False
    return True


def _read_index(path: Path) -> Checkpoint:
    index = json.loads((path / _INDEX).read_text(encoding="utf-8"))
    for name, expected in index["sha256"].items():
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} has changed since it was written")
    return Checkpoint(path, int(index["step"]), index.get("stage"), dict(index["sizes"]))


def _list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*-*") if path.is_dir())
