"""Claim or find a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orbmm.errors import RunError
from orbmm.files import NO_ROOM, is_partial
from orbmm.plain_text import quote_command
from orbmm.run_files.layout import LOCK_NAME, RunFolder
from orbmm.simulation.folder.lock import lock_folder

_BEFORE_THE_RECORD = {LOCK_NAME, "input", "settings.toml"}


@contextmanager
def claim_folder(path: Path, use_lock: bool = True) -> Iterator[RunFolder]:
    """Make an empty run folder and lock it inside the block. use_lock: False for a file system without locks

    A folder of a run that was killed before it wrote its record is accepted, because nothing was computed in it.
    Raises RunError if the folder holds anything else, is in use by another process, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _require_free(path)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise RunError(f"run folder {path} cannot be made ({error.strerror}); choose another --output") from error
    with lock_folder(path, use_lock):
        _require_free(path)  # another process may have used it before the lock
        yield RunFolder(path)


def _require_free(path: Path) -> None:
    found = {entry.name for entry in path.iterdir()}
    barely_begun = LOCK_NAME in found and all(name in _BEFORE_THE_RECORD or is_partial(name) for name in found)
    if found and not barely_begun:
        raise RunError(
            f"run folder {path} is not empty; continue its run with `{quote_command('orbmm', 'resume', path)}` "
            "or choose another --output"
        )


def find_run(path: Path) -> RunFolder:
    """Return the run folder at a path. Raises RunError if it holds no run."""
    folder = RunFolder(path.resolve())
    if not folder.settings.is_file() or not folder.record.is_file():
        raise RunError(f"{path} is not a run folder: it has no settings.toml or no run.json")
    return folder
