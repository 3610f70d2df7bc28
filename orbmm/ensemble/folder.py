"""Write an ensemble to disk, and compare what is there with its settings."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orbmm.ensemble.layout import (
    BESIDE_REPLICAS,
    REPLICAS_NAME,
    EnsembleFolder,
    Member,
    ReplicaFolder,
    is_ensemble,
    read_members,
    write_members,
)
from orbmm.ensemble.plan import Plan, Replica
from orbmm.errors import DiskFull, RunError
from orbmm.files import NO_ROOM, hash_file, make_folder
from orbmm.run_files.layout import INPUT_KEYS, LOCK_NAME
from orbmm.settings import Settings, format_settings, read_settings, write_settings
from orbmm.simulation.folder.lock import lock_folder

_LENGTH = "run.length_ps"
"""The one setting that may change: a longer run is resumed to its new length."""


@contextmanager
def claim_ensemble(plan: Plan) -> Iterator[EnsembleFolder]:
    """Make the folder of an ensemble, or take it up again, and lock it inside the block.

    Raises RunError if the folder holds anything else, is in use by another process, cannot be written, or holds runs
    that have begun with other settings; DiskFull if there is no room.
    """
    folder = plan.folder
    with _explain_errors(folder.path):
        _make(folder)
    with lock_folder(folder.path):
        with _explain_errors(folder.path):
            _write_plan(plan)
        yield folder


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sentence = f"{error.filename or path} cannot be written ({error.strerror or error})"
        if error.errno in NO_ROOM:
            raise DiskFull(f"{sentence}; free disk space and give the same command again") from error
        raise RunError(f"{sentence}; choose another `output` in [ensemble]") from error


def _make(folder: EnsembleFolder) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    names = {one.name for one in folder.path.iterdir()}
    others = names - {LOCK_NAME, REPLICAS_NAME} - set(BESIDE_REPLICAS if REPLICAS_NAME in names else ())
    if others and not is_ensemble(folder.path):
        raise RunError(f"{folder.path} is not empty and no ensemble: it holds {min(others)}; choose another `output`")
    (folder.path / LOCK_NAME).touch()  # raises OSError in a folder that can be read only


def _write_plan(plan: Plan) -> None:
    """Write the settings of each replica, and plan.json; nothing if a run that has begun would not fit to them."""
    folder, members = plan.folder, _hash_inputs(plan)
    if is_ensemble(folder.path):
        known = {member.name: member for member in members}
        before = read_members(folder)
        lost = [member.name for member in before if member.name not in known]
        if lost:
            raise RunError(
                f"{folder.path} has {len(lost)} replicas that the settings no longer name, such as {lost[0]}; "
                "name them again, or choose another `output`"
            )
        for member in before:
            known[member.name] = _check_inputs(folder, known[member.name], member)
        members = tuple(known.values())
    for replica in plan.replicas:
        _check_begun(folder.replica(replica.name), replica)
    for replica in plan.replicas:
        one = folder.replica(replica.name)
        make_folder(one.path)
        write_settings(replica.settings, one.settings, overwrite=True)
    write_members(folder, members)


def _hash_inputs(plan: Plan) -> tuple[Member, ...]:
    """Return the replicas with the sha256 of their input files. A file that is not there is left to the run."""
    hashes: dict[Path, str] = {}
    members = []
    for replica in plan.replicas:
        inputs = {}
        for table, key in (*INPUT_KEYS, ("model", "weights")):
            path = getattr(getattr(replica.settings, table), key)
            if path is None or not path.is_file():
                continue
            hashes[path] = hashes.get(path) or hash_file(path)
            inputs[f"{table}.{key}"] = hashes[path]
        members.append(dataclasses.replace(replica.member, inputs=inputs))
    return tuple(members)


def _check_inputs(folder: EnsembleFolder, now: Member, before: Member) -> Member:
    """Return a replica for plan.json. Raises RunError if it has begun with another content of an input file."""
    if not folder.replica(now.name).is_begun:
        return now
    for key, sha256 in before.inputs.items():
        if now.inputs.get(key, sha256) != sha256:
            raise RunError(
                f"{now.name} has begun with another content of the file of {key} (sha256 {sha256[:12]} then, "
                f"{now.inputs[key][:12]} now); restore the file, or choose another `output` in [ensemble]"
            )
    return dataclasses.replace(now, inputs={**now.inputs, **before.inputs})


def _check_begun(folder: ReplicaFolder, replica: Replica) -> None:
    """Raise RunError if a run has begun with settings that do not fit to those that are planned now."""
    if not (folder.is_begun and folder.settings.is_file()):
        return
    before, after = (_flatten(one, folder.path) for one in (read_settings(folder.settings), replica.settings))
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        longer = key == _LENGTH and isinstance(old, float) and isinstance(new, float) and new > old
        if old != new and not longer:
            raise RunError(
                f"{replica.name} has begun with {key} {_describe(old)}, but the settings now have {_describe(new)}; "
                "undo the change, or choose another `output` in [ensemble]"
            )


def _flatten(settings: Settings, folder: Path) -> dict[str, object]:
    """Return each setting by "table.key", and each list of tables by its name."""
    flat: dict[str, object] = {}
    for table, values in tomllib.loads(format_settings(settings, folder)).items():
        flat |= (
            {f"{table}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {table: values}
        )
    return flat


def _describe(value: object) -> str:
    return "absent" if value is None else str(value) if not isinstance(value, list) else "another list"
