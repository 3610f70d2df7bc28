"""What is checked of a run folder before a resumed run cuts or writes a byte in it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from orbmm.errors import RunError, UnsafeFile
from orbmm.files import open_regular, require_regular
from orbmm.run_files.checkpoints import EQUILIBRATION, PRODUCTION
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame
from orbmm.settings import Settings
from orbmm.simulation.checkpoint import Checkpoint
from orbmm.simulation.folder import RunFolder
from orbmm.simulation.reporters.confidence import record_type
from orbmm.simulation.reporters.reporter import check_sizes
from orbmm.simulation.schedule import PlannedStage

_LONGEST_START = 4096  # bytes of a table's header and its row of step 0
_DCD_FRAMES = slice(8, 12)  # bytes of the header that count the frames


def list_phase_files(folder: RunFolder, settings: Settings, phase: str) -> tuple[Path, ...]:
    """Return the files that a phase appends to; the confidence is not in every run."""
    if phase == PRODUCTION:
        return folder.trajectory(settings.run.trajectory), folder.table, folder.confidence
    return (folder.equilibration_table,)


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
    for path in folder.appended_files:
        if os.path.lexists(path):
            require_regular(path)


def check_index(checkpoint: Checkpoint, planned: PlannedStage, folder: RunFolder, settings: Settings) -> None:
    """Raise RunError unless a checkpoint names exactly the files that its phase writes, each as long as it says or longer."""
    expected = list_phase_files(folder, settings, planned.phase)
    named, optional = set(checkpoint.index.sizes), {folder.confidence.name}
    if not {path.name for path in expected} - optional <= named <= {path.name for path in expected}:
        raise RunError(
            f"{checkpoint.folder.path} names other files than {', '.join(path.name for path in expected)}; "
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
    for path in (path for phase in phases for path in list_phase_files(folder, settings, phase)):
        if path.is_file() and _holds_more_than_start(path, atoms):
            raise RunError(
                f"{path} goes beyond step 0, but {folder.checkpoints} has no checkpoint of it: bring the checkpoints "
                "back from a copy, or begin a new run in another folder"
            )


def _holds_more_than_start(path: Path, atoms: int) -> bool:
    """Tell whether an output file holds a frame, row or record of a later step than 0. A torn first one is none."""
    with open_regular(path, "rb") as stream:
        size, head = (
            os.fstat(stream.fileno()).st_size,
            stream.read(_LONGEST_START if path.suffix == ".csv" else HEADER_BYTES),
        )
    if path.suffix == ".csv":
        rows = head.split(b"\n")[1:]
        return size > len(head) or any(row and not row.startswith(b"0,"[: len(row)]) for row in rows) or len(rows) > 2
    if path.suffix == ".dat":
        return size > record_type(atoms).itemsize
    if path.suffix == ".dcd":
        return len(head) == HEADER_BYTES and struct.unpack("<i", head[_DCD_FRAMES])[0] > 1
    frame = measure_frame(head)
    return size > frame if frame is not None else size >= HEADER_BYTES
