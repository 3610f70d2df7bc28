"""Check the files of a run folder, before a byte is cut or written there."""

from __future__ import annotations

import os
from pathlib import Path

from orbmm.errors import RunError, UnsafeFile
from orbmm.files import require_regular
from orbmm.run_files.checkpoints import EQUILIBRATION, PRODUCTION
from orbmm.run_files.layout import LOCK_NAME, RunFolder
from orbmm.settings import Settings
from orbmm.simulation.folder.checkpoint import Checkpoint
from orbmm.simulation.reporters.files import OUTPUTS, list_outputs
from orbmm.simulation.reporters.reporter import check_sizes
from orbmm.simulation.schedule import PlannedStage


def check_paths(folder: RunFolder) -> None:
    """Raise UnsafeFile where a link, a pipe or another strange thing has the name of a file or folder of the run."""
    for path in (folder.checkpoints, folder.rescue, folder.inputs, *folder.replaced_files):
        if path.is_symlink():
            raise UnsafeFile(path, "is a link")
    for path in (folder.checkpoints, folder.rescue, folder.inputs):
        if path.exists() and not path.is_dir():
            raise UnsafeFile(path, "is no folder")
    for path in folder.replaced_files:  # a file with two names is no danger here: the other keeps the former content
        if path.exists() and not path.is_file():
            raise UnsafeFile(path, "is no regular file")
    for path in (folder.path / name for output in OUTPUTS for name in output.names):
        if os.path.lexists(path):
            require_regular(path)


def check_index(checkpoint: Checkpoint, planned: PlannedStage, folder: RunFolder, settings: Settings) -> None:
    """Raise RunError unless a checkpoint names exactly the files that its phase writes, each as long as it says or longer."""
    outputs = list_outputs(planned.phase)
    known = {output.find_name(settings) for output in outputs}
    needed = {output.find_name(settings) for output in outputs if not output.optional}
    if not needed <= set(checkpoint.index.sizes) <= known:
        raise RunError(
            f"{checkpoint.folder.path} names other files than {', '.join(sorted(known))}; "
            "bring the run folder back from a copy"
        )
    check_sizes({folder.path / name: size for name, size in checkpoint.index.sizes.items()})


def refuse_lost_checkpoints(folder: RunFolder, settings: Settings, checkpoint: Checkpoint | None, atoms: int) -> None:
    """Raise RunError where files of a phase that would begin anew hold more than its step 0.

    The first checkpoint of a phase is written right after step 0, so its checkpoints must have been removed.
    """
    phases = [EQUILIBRATION, PRODUCTION] if checkpoint is None else []
    if checkpoint is not None and checkpoint.folder.phase == EQUILIBRATION:
        phases = [PRODUCTION]
    for output in (output for phase in phases for output in list_outputs(phase)):
        path = folder.path / output.find_name(settings)
        if path.is_file() and output.count_entries(path, atoms) > 1:
            raise RunError(
                f"{path} goes beyond step 0, but {folder.checkpoints} has no checkpoint of it: bring the checkpoints "
                "back from a copy, or begin a new run in another folder"
            )


def holds_entries(folder: RunFolder, settings: Settings, atoms: int) -> bool:
    """Tell whether a run has written anything that it could be continued from: an entry of an output, or a checkpoint."""
    paths = {folder.path / output.find_name(settings): output for output in OUTPUTS}
    if any(path.is_file() and output.count_entries(path, atoms) > 0 for path, output in paths.items()):
        return True
    known = {LOCK_NAME, *(path.name for path in (folder.inputs, *folder.replaced_files, *paths))}
    return any(_holds_something(entry) for entry in folder.path.iterdir() if entry.name not in known)


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0
