"""The run folder: where each file lies, and the two that say what the run is."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbmm.checkpoints.checksum import hash_file
from orbmm.errors import RunError
from orbmm.settings import Settings, format_settings, override_settings, read_settings
from orbmm.simulation.durable import write_durably

_COPIED = (("system", "structure"), ("system", "state"), ("analysis", "reference"))


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
    def table(self) -> Path:
        """Energies and temperatures."""
        return self.path / "energies.csv"

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint."""
        return self.path / "checkpoints"

    def trajectory(self, file_format: str) -> Path:
        """The frames."""
        return self.path / f"trajectory.{file_format}"


def claim_folder(path: Path) -> RunFolder:
    """Make an empty run folder. Raises RunError if it holds anything or cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = any(path.iterdir())
    except OSError as error:
        raise RunError(f"run folder {path} cannot be made ({error.strerror})") from error
    if taken:
        raise RunError(
            f"run folder {path} is not empty; continue its run with `orbmm resume {path}` or choose another --output"
        )
    return RunFolder(path)


def describe_run(folder: RunFolder, settings: Settings, facts: Mapping[str, Any]) -> None:
    """Copy the input files and write settings.toml and run.json, from which alone a run is resumed."""
    settings, copies = _copy_inputs(folder, settings)
    text = format_settings(settings, folder.path)
    write_durably(folder.settings, text.encode())
    inputs = {str(path.relative_to(folder.path)): hash_file(path) for path in copies}
    record = {**facts, "inputs": inputs, "settings": tomllib.loads(text)}
    write_durably(folder.record, json.dumps(record, indent=1).encode())


def open_folder(path: Path) -> tuple[RunFolder, Settings, dict[str, Any]]:
    """An existing run with its settings and its record.

    Raises RunError if the folder holds no run, or if settings or inputs were changed since it began.
    """
    folder = RunFolder(path.resolve())
    if not folder.settings.is_file() or not folder.record.is_file():
        raise RunError(f"{path} is not a run folder: it has no settings.toml or no run.json")
    try:
        record = json.loads(folder.record.read_text(encoding="utf-8"))
        written, inputs = record["settings"], record["inputs"]
    except (ValueError, KeyError) as error:
        raise RunError(f"{folder.record} is damaged ({error})") from error
    settings = read_settings(folder.settings)
    changes = _list_changes(written, tomllib.loads(format_settings(settings, folder.path)))
    changes += [name for name, sha256 in inputs.items() if not _is_unchanged(folder.path / name, sha256)]
    if changes:
        raise RunError(f"{path} was changed since its run began: {'; '.join(changes)}; undo that, or begin a new run")
    return folder, settings, record


def _copy_inputs(folder: RunFolder, settings: Settings) -> tuple[Settings, list[Path]]:
    """The settings with their input files inside the folder; weights stay where they are, known by their hash."""
    copies = []
    for table, key in _COPIED:
        source = getattr(getattr(settings, table), key)
        if source is None:
            continue
        copy = folder.path / "input" / f"{key}{source.suffix}"
        copy.parent.mkdir(exist_ok=True)
        try:
            shutil.copyfile(source, copy)
        except OSError as error:
            raise RunError(f"{table}.{key} {source} cannot be copied to {copy} ({error.strerror})") from error
        copies.append(copy)
        settings = override_settings(settings, {table: {key: copy}})
    return settings, copies


def _is_unchanged(path: Path, sha256: str) -> bool:
    return path.is_file() and hash_file(path) == sha256


def _list_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Each differing setting as "table.key: old -> new"."""
    changes = []
    for table in sorted(before.keys() | after.keys()):
        old, new = before.get(table, {}), after.get(table, {})
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                changes.append(f"{table}.{key}: {old.get(key)!r} -> {new.get(key)!r}")
    return changes


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden write into one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise RunError(
            f"cannot write {where}: {error.strerror or error}; checkpoints so far are kept: `orbmm resume`"
        ) from error
