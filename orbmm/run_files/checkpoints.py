"""The folders in `checkpoints/` of a run: their names, their order and the index in each.

A folder is a checkpoint only if it has the name of a checkpoint and holds only the files of one. Other files and
folders beside the checkpoints are ignored and not changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orbmm.files import read_file, read_json, sync_folder, write_new

PRODUCTION, EQUILIBRATION = "production", "equilibration"
"""The two phases of a run. The steps of each are counted from 0."""

STATE_FILE, BINARY_FILE, INDEX_FILE = "state.xml", "context.chk", "checkpoint.json"
_FILES = {STATE_FILE, BINARY_FILE, INDEX_FILE}
_WORDS = {"step": PRODUCTION, "equilibration": EQUILIBRATION}
_NAME = re.compile(r"(step|equilibration)-([0-9]{12,15})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.unfinished-[0-9a-f]{12}")
LARGEST_INDEX_BYTES = 100_000
LARGEST_FILE_BYTES = 2**32


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder that has the name and the files of a checkpoint. step: counted in the phase"""

    path: Path
    phase: str
    step: int


@dataclass(frozen=True)
class CheckpointIndex:
    """The content of checkpoint.json. Its types are checked; it is not yet compared with the run.

    stage: number of the stage; None in runs of old versions that had no stages
    sizes: of the output files of the phase at the time of the checkpoint [bytes]
    hashes: sha256 of so many bytes of each of these files; None in runs of old versions
    """

    step: int
    stage: int | None
    sizes: Mapping[str, int]
    hashes: Mapping[str, str] | None = None


def name_step(phase: str, step: int) -> str:
    """Return the name of a file or folder that belongs to one step of a phase."""
    return f"{'step' if phase == PRODUCTION else phase}-{step:012d}"


def list_checkpoints(folder: Path) -> list[CheckpointFolder]:
    """Return the checkpoints in a folder, the earliest first; those of production are the last."""
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        phase, step = _WORDS[name[1]], int(name[2])
        if path.name == name_step(phase, step) and _holds_only_own_files(path):  # not one with more zeros
            found.append(CheckpointFolder(path, phase, step))
    return sorted(found, key=lambda each: (each.phase == PRODUCTION, each.step))


def write_checkpoint_folder(folder: Path, phase: str, index: CheckpointIndex, contents: Mapping[str, bytes]) -> None:
    """Write a checkpoint into an existing folder, complete or not at all.

    contents: of state.xml and context.chk
    Raises FileExistsError if anything but a checkpoint has that name; OSError as `open` does.
    """
    target = folder / name_step(phase, index.step)
    if target.is_symlink() or (target.exists() and not _holds_only_own_files(target)):
        raise FileExistsError(errno.EEXIST, "a file or folder of this name is not a checkpoint; move it", str(target))
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name) and _holds_only_own_files(path):
            shutil.rmtree(path)  # of a process that was killed
    unfinished = folder / f".unfinished-{uuid.uuid4().hex[:12]}"
    unfinished.mkdir()
    for name, content in contents.items():
        write_new(unfinished / name, content)
    write_new(unfinished / INDEX_FILE, _format_index(index, contents).encode())
    sync_folder(unfinished)
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)
    sync_folder(folder)


def _format_index(index: CheckpointIndex, contents: Mapping[str, bytes]) -> str:
    own = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    facts = {"step": index.step, "stage": index.stage, "sha256": own, "sizes": dict(index.sizes)}
    if index.hashes is not None:
        facts["content"] = dict(index.hashes)
    return json.dumps(facts, indent=1)


def read_index(checkpoint: CheckpointFolder) -> CheckpointIndex:
    """Read checkpoint.json and compare the other files with the hashes in it.

    Raises ValueError for a damaged checkpoint; UnsafeFile for a file that is too large or not a regular file; OSError
    as `open` does.
    """
    index = read_json(checkpoint.path / INDEX_FILE, LARGEST_INDEX_BYTES)
    hashes = index.get("sha256") if isinstance(index, dict) else None
    if not isinstance(hashes, dict) or hashes.keys() != {STATE_FILE, BINARY_FILE}:
        raise ValueError(f"its index names other files than {STATE_FILE} and {BINARY_FILE}")
    for name, expected in hashes.items():
        if hashlib.sha256(read_file(checkpoint.path / name, LARGEST_FILE_BYTES)).hexdigest() != expected:
            raise ValueError(f"{name} has changed since it was written")
    step, stage, sizes = index.get("step"), index.get("stage"), index.get("sizes")
    if not _is_count(step) or step != checkpoint.step:
        raise ValueError("its index is of another step than its name")
    if stage is not None and not _is_count(stage):
        raise ValueError("its stage is not a number")
    if not isinstance(sizes, dict) or not all(_is_count(size) for size in sizes.values()):
        raise ValueError("its sizes are not numbers of bytes")
    hashes = index.get("content")
    if hashes is not None and not (isinstance(hashes, dict) and hashes.keys() == sizes.keys() and _are_hashes(hashes)):
        raise ValueError("its hashes are not those of the files that it names")
    return CheckpointIndex(checkpoint.step, stage, sizes, hashes)


def _are_hashes(hashes: Mapping[str, object]) -> bool:
    return all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in hashes.values())


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _holds_only_own_files(path: Path) -> bool:
    """Tell whether a path is a real folder in which are only files with the names of those of a checkpoint."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode) and all(
            entry.name in _FILES and not stat.S_ISDIR(entry.lstat().st_mode) for entry in path.iterdir()
        )
    except OSError:  # it vanished, or may not be read: then it is not touched either
        return False
