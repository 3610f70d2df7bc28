"""Check the files of a run folder before any of them is changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from orbmm.errors import RunError, UnsafeFile
from orbmm.files import require_regular
from orbmm.run_files.checkpoints import EQUILIBRATION, PRODUCTION
from orbmm.run_files.layout import LOCK_NAME, RunFolder
from orbmm.settings import Settings
from orbmm.simulation.folder.checkpoint import Checkpoint
from orbmm.simulation.folder.content import ContentHashes
from orbmm.simulation.reporters.files import OUTPUTS, count_frame_atoms, list_outputs
from orbmm.simulation.reporters.reporter import check_sizes
from orbmm.simulation.reporters.trajectory import check_frames
from orbmm.simulation.schedule import PlannedStage
from orbmm.simulation.start.structure import Structure

_LOG = logging.getLogger(__name__)


def check_paths(folder: RunFolder) -> None:
    """Raise UnsafeFile if a link, a pipe or another special file has the name of a file or folder of the run."""
    for path in (folder.checkpoints, folder.rescue, folder.inputs, *folder.replaced_files):
        if path.is_symlink():
            raise UnsafeFile(path, "is a link")
    for path in (folder.checkpoints, folder.rescue, folder.inputs):
        if path.exists() and not path.is_dir():
            raise UnsafeFile(path, "is not a folder")
    for path in folder.replaced_files:  # a hard link is safe here: the other name keeps the former content
        if path.exists() and not path.is_file():
            raise UnsafeFile(path, "is not a regular file")
    for path in (folder.path / name for output in OUTPUTS for name in output.names):
        if os.path.lexists(path):
            require_regular(path)


def check_index(checkpoint: Checkpoint, planned: PlannedStage, folder: RunFolder, settings: Settings) -> None:
    """Raise RunError unless a checkpoint names exactly the files that its phase writes, and none is too short."""
    outputs = list_outputs(planned.phase)
    known = {output.find_name(settings) for output in outputs}
    needed = {output.find_name(settings) for output in outputs if not output.optional}
    if not needed <= set(checkpoint.index.sizes) <= known:
        raise RunError(
            f"{checkpoint.folder.path} names other files than {', '.join(sorted(known))}; "
            "restore the run folder from a copy"
        )
    check_sizes({folder.path / name: size for name, size in checkpoint.index.sizes.items()})


def check_content(checkpoint: Checkpoint, folder: RunFolder, settings: Settings, start: Structure) -> ContentHashes:
    """Compare each growing file with its hash in a checkpoint, up to its length there; return the hashes.

    A checkpoint of an older version has no hashes; then only the headers of the frames are checked.
    Raises RunError for a file that has changed.
    """
    hashes, index = ContentHashes(), checkpoint.index
    found = {name: hashes.compute(folder.path / name, size) for name, size in index.sizes.items()}
    for name, digest in (index.hashes or {}).items():
        if found[name] != digest:
            raise RunError(
                f"{folder.path / name} is not as this run has written it: its first {index.sizes[name]} bytes have "
                f"changed since {checkpoint.folder.path.name}; restore it from a copy, or start a new run"
            )
    name = folder.trajectory(settings.run.trajectory).name
    if index.hashes is None:
        _LOG.info("%s is of an older version and has no hashes: tables are not checked", checkpoint.folder.path)
        if name in index.sizes:
            check_frames(folder.path / name, count_frame_atoms(settings, start), index.sizes[name])
    return hashes


def refuse_lost_checkpoints(folder: RunFolder, settings: Settings, checkpoint: Checkpoint | None, atoms: int) -> None:
    """Raise RunError if a phase would start from step 0, but its files hold later steps.

    The first checkpoint of a phase is written right after step 0, so the checkpoints must have been removed.
    """
    phases = [EQUILIBRATION, PRODUCTION] if checkpoint is None else []
    if checkpoint is not None and checkpoint.folder.phase == EQUILIBRATION:
        phases = [PRODUCTION]
    for output in (output for phase in phases for output in list_outputs(phase)):
        path = folder.path / output.find_name(settings)
        if path.is_file() and output.count_entries(path, atoms) > 1:
            raise RunError(
                f"{path} goes beyond step 0, but {folder.checkpoints} has no checkpoint of it: restore the checkpoints "
                "from a copy, or start a new run in another folder"
            )


def holds_entries(folder: RunFolder, settings: Settings, atoms: int) -> bool:
    """Return whether a run has written anything that it can continue from: an entry of an output, or a checkpoint."""
    paths = {folder.path / output.find_name(settings): output for output in OUTPUTS}
    if any(path.is_file() and output.count_entries(path, atoms) > 0 for path, output in paths.items()):
        return True
    known = {LOCK_NAME, *(path.name for path in (folder.inputs, *folder.replaced_files, *paths))}
    return any(_holds_something(entry) for entry in folder.path.iterdir() if entry.name not in known)


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0
