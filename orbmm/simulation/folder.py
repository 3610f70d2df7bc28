"""The run folder: where each file lies, and the two that say what the run is."""

from __future__ import annotations

import errno
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbmm.errors import DiskFull, RunError
from orbmm.files import hash_file, is_partial, make_folder, read_json, replace_file, write_file
from orbmm.plain_text import describe_value, quote_command
from orbmm.settings import Settings, format_settings, override_settings
from orbmm.settings.run import TRAJECTORY_FORMATS
from orbmm.simulation.lock import LOCK_NAME, lock_folder

_COPIED = (("system", "structure"), ("system", "state"), ("analysis", "reference"))
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGEST_RECORD_BYTES = 10_000_000
_NEEDED = {"settings": dict, "inputs": dict, "weights_sha256": str, "platform": str}
_BEFORE_THE_RECORD = {LOCK_NAME, "input", "settings.toml"}


@dataclass(frozen=True)
class RunFolder:
    """All paths of one run."""

    path: Path

    @property
    def settings(self) -> Path:
        """The resolved settings."""
        return self.path / "settings.toml"

    @property
    def record(self) -> Path:
        """What the run was made with."""
        return self.path / "run.json"

    @property
    def topology(self) -> Path:
        """The atoms, with the coordinates of frame 0."""
        return self.path / "topology.pdb"

    @property
    def frame_topology(self) -> Path:
        """The atoms of the trajectory, where these are not all."""
        return self.path / "trajectory.pdb"

    @property
    def table(self) -> Path:
        """Energies and temperatures of production."""
        return self.path / "energies.csv"

    @property
    def equilibration_table(self) -> Path:
        """Energies and temperatures before production."""
        return self.path / "equilibration.csv"

    @property
    def confidence(self) -> Path:
        """What the model thinks of its forces, atom by atom."""
        return self.path / "confidence.dat"

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint."""
        return self.path / "checkpoints"

    @property
    def rescue(self) -> Path:
        """What is kept of a run that went wrong."""
        return self.path / "rescue"

    @property
    def inputs(self) -> Path:
        """Copies of the files that the run was begun with."""
        return self.path / "input"

    @property
    def appended_files(self) -> tuple[Path, ...]:
        """The files that grow, and are cut back to a checkpoint."""
        trajectories = [self.trajectory(file_format) for file_format in TRAJECTORY_FORMATS]
        return (*trajectories, self.table, self.equilibration_table, self.confidence)

    @property
    def replaced_files(self) -> tuple[Path, ...]:
        """The files that are written anew as a whole."""
        described = self.confidence.with_suffix(".json")
        return self.settings, self.record, self.topology, self.frame_topology, described

    def trajectory(self, file_format: str) -> Path:
        """The frames."""
        return self.path / f"trajectory.{file_format}"


@contextmanager
def claim_folder(path: Path) -> Iterator[RunFolder]:
    """Make an empty run folder and keep others out of it while entered.

    What a run left that was killed before it wrote its record may be taken over: nothing was computed yet.
    Raises RunError if the folder holds anything else, is being written, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _require_free(path)
    except OSError as error:
        raise RunError(f"run folder {path} cannot be made ({error.strerror}); choose another --output") from error
    with lock_folder(path):
        _require_free(path)  # somebody else may have been faster
        yield RunFolder(path)


def _require_free(path: Path) -> None:
    found = {entry.name for entry in path.iterdir()}
    barely_begun = LOCK_NAME in found and all(name in _BEFORE_THE_RECORD or is_partial(name) for name in found)
    if found and not barely_begun:
        raise RunError(
            f"run folder {path} is not empty; continue its run with `{quote_command('orbmm', 'resume', path)}` "
            "or choose another --output"
        )


def describe_run(folder: RunFolder, settings: Settings, facts: Mapping[str, Any]) -> None:
    """Copy the input files and write settings.toml and run.json, from which alone a run is resumed."""
    settings, copies = _copy_inputs(folder, settings)
    text = format_settings(settings, folder.path)
    write_file(folder.settings, text.encode())
    inputs = {str(path.relative_to(folder.path)): hash_file(path) for path in copies}
    record = {**facts, "inputs": inputs, "settings": tomllib.loads(text)}
    write_record(folder, record)


def find_run(path: Path) -> RunFolder:
    """The run folder at a path. Raises RunError if it holds no run."""
    folder = RunFolder(path.resolve())
    if not folder.settings.is_file() or not folder.record.is_file():
        raise RunError(f"{path} is not a run folder: it has no settings.toml or no run.json")
    return folder


def read_record(folder: RunFolder) -> dict[str, Any]:
    """What run.json says. Raises RunError if it is damaged or an input file is not the one that it names."""
    try:
        record = read_json(folder.record, _LARGEST_RECORD_BYTES)
        _require_types(record)
        changed = [name for name, sha256 in record["inputs"].items() if not _is_unchanged(folder.path / name, sha256)]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.record} is damaged ({error}); bring it back from a copy, or begin a new run"
        ) from error
    if changed:
        raise RunError(
            f"{folder.path} was changed since its run began: {', '.join(changed)}; undo that, or begin a new run"
        )
    return dict(record)


def _require_types(record: Any) -> None:
    """Raise KeyError or TypeError for a record that lacks something, or holds it in another form."""
    for key, kind in _NEEDED.items():
        if not isinstance(record[key], kind):
            raise TypeError(f"{key} is {describe_value(record[key])}")
    if not isinstance(record.get("changed", []), list):
        raise TypeError(f"changed is {describe_value(record['changed'])}")


def write_record(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Replace run.json."""
    write_file(folder.record, json.dumps(record, indent=1).encode())


def _copy_inputs(folder: RunFolder, settings: Settings) -> tuple[Settings, list[Path]]:
    """The settings with their input files inside the folder; weights stay where they are, known by their hash."""
    copies = []
    for table, key in _COPIED:
        source = getattr(getattr(settings, table), key)
        if source is None:
            continue
        if not source.is_file():
            raise RunError(f"{table}.{key} is {source}, where no file is; correct the path or leave it away")
        copy = folder.inputs / f"{key}{source.suffix}"
        make_folder(folder.inputs)
        try:
            with replace_file(copy) as partial:
                shutil.copyfile(source, partial)
        except OSError as error:
            raise RunError(f"{table}.{key} {source} cannot be copied to {copy} ({error.strerror})") from error
        copies.append(copy)
        settings = override_settings(settings, {table: {key: copy}})
    return settings, copies


def _is_unchanged(path: Path, sha256: str) -> bool:
    return path.is_file() and hash_file(path) == sha256


@contextmanager
def explain_disk_errors(folder: Path, when: str = "") -> Iterator[None]:
    """Turn a full disk or a forbidden write into one sentence; `when` says at which step, if that is known."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        sentence = f"cannot write {where}{when}: {error.strerror or error}"
        if error.errno in _NO_ROOM:
            raise DiskFull(f"{sentence}; make room and go on from the last checkpoint with `orbmm resume`") from error
        raise RunError(f"{sentence}; checkpoints so far are kept: `orbmm resume`") from error
