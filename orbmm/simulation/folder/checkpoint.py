"""Write checkpoints of a Context, keep the last two, and load the newest that is not damaged."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm

from orbmm.errors import RunError, StructureError, UnsafeFile
from orbmm.files import make_folder, read_file
from orbmm.run_files.checkpoints import (
    BINARY_FILE,
    LARGEST_FILE_BYTES,
    STATE_FILE,
    CheckpointFolder,
    CheckpointIndex,
    list_checkpoints,
    read_index,
    write_checkpoint_folder,
)
from orbmm.run_files.state_xml import SavedState, read_state
from orbmm.simulation.schedule import PlannedStage

_LOG = logging.getLogger(__name__)

KEPT = 2
_SAME_NM, _SAME_NM_PER_PS = 1e-4, 1e-3  # both files hold the same numbers, to the rounding of a GPU


@dataclass(frozen=True)
class Checkpoint:
    """One undamaged checkpoint: its folder and its index."""

    folder: CheckpointFolder
    index: CheckpointIndex

    @property
    def step(self) -> int:
        """Return the step of the checkpoint, counted in the phase."""
        return self.index.step


@dataclass(frozen=True)
class SavedFiles:
    """The growing files at a checkpoint, by their names: sizes [bytes], and sha256 of as many bytes."""

    sizes: Mapping[str, int]
    hashes: Mapping[str, str]


def write_checkpoint(folder: Path, context: openmm.Context, planned: PlannedStage, files: SavedFiles) -> None:
    """Write a checkpoint of a stage: portable XML, binary, and an index with their hashes. Remove old checkpoints.

    files: that grow during the stage
    Raises OSError if it cannot be written, UnsafeFile if the folder is a link.
    """
    make_folder(folder)
    state = context.getState(positions=True, velocities=True, parameters=True)
    contents = {STATE_FILE: openmm.XmlSerializer.serialize(state).encode(), BINARY_FILE: context.createCheckpoint()}
    index = CheckpointIndex(context.getStepCount(), planned.number, files.sizes, files.hashes)
    write_checkpoint_folder(folder, planned.phase, index, contents)
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old.path)


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is not damaged, None if there is no checkpoint yet.

    Damaged ones are skipped with a warning. Raises RunError if all are damaged.
    """
    found = list_checkpoints(folder)
    if not found:
        return None
    for each in reversed(found):
        try:
            return Checkpoint(each, read_index(each))
        except (OSError, ValueError, UnsafeFile) as error:
            _LOG.warning("checkpoint %s is damaged (%s); the one before it is used", each.path, error)
    raise RunError(f"{folder} holds no usable checkpoint; start the run again in another folder")


def drop_later(checkpoint: Checkpoint) -> None:
    """Remove the checkpoints after this one; they are damaged, and their steps are computed again."""
    found = list_checkpoints(checkpoint.folder.path.parent)
    for later in found[found.index(checkpoint.folder) + 1 :]:
        shutil.rmtree(later.path)


def load_checkpoint(checkpoint: Checkpoint, context: openmm.Context) -> bool:
    """Load the checkpoint into the Context; return whether exactly, with the random numbers of the thermostat.

    The binary file may not load on another platform, OpenMM version or machine. Then positions, velocities, box and
    step come from the XML, and the caller has to reseed the thermostat. Raises RunError if both are damaged.
    """
    path = checkpoint.folder.path / STATE_FILE
    try:
        state = read_state(path)
        for rows in (state.positions, state.velocities):
            if rows is not None and len(rows) != context.getSystem().getNumParticles():
                raise StructureError(f"it holds {len(rows)} atoms")
        if _load_binary(checkpoint, state, context):
            return True
        _load_portable(state, context)
    except (StructureError, openmm.OpenMMException) as error:
        raise RunError(f"{path} does not fit this run ({error}); restore the run folder from a copy") from error
    context.setStepCount(checkpoint.step)
    return False


def _load_binary(checkpoint: Checkpoint, state: SavedState, context: openmm.Context) -> bool:
    content = read_file(checkpoint.folder.path / BINARY_FILE, LARGEST_FILE_BYTES)
    try:
        context.loadCheckpoint(content)
    except (openmm.OpenMMException, UnicodeDecodeError) as error:  # its message may quote bytes of the file
        reason = str(error)
    else:
        # OpenMM loads a short or altered file without an error, so compare it with the other file.
        if context.getStepCount() == checkpoint.step and _holds(context, state):
            return True
        reason = f"it does not hold what {STATE_FILE} holds"
    _LOG.warning("the binary checkpoint does not load here (%s); continuing from the portable state", reason)
    return False


def _holds(context: openmm.Context, state: SavedState) -> bool:
    """Return whether a Context has the positions and velocities of a state; False also for NaN."""
    if state.positions is None or state.velocities is None:
        return False
    found = context.getState(positions=True, velocities=True)
    moved = np.abs(found.getPositions(asNumpy=True)._value - state.positions).max()
    pushed = np.abs(found.getVelocities(asNumpy=True)._value - state.velocities).max()
    return bool(moved <= _SAME_NM and pushed <= _SAME_NM_PER_PS)


def _load_portable(state: SavedState, context: openmm.Context) -> None:
    if state.positions is None or state.velocities is None:
        raise StructureError("it lacks positions or velocities")
    context.reinitialize()  # a damaged binary file may have changed the thermostat
    if state.box is not None:
        context.setPeriodicBoxVectors(*state.box)
    context.setPositions(state.positions)
    context.setVelocities(state.velocities)
    context.setTime(state.time_ps)
    for name, value in state.parameters.items():
        context.setParameter(name, value)
