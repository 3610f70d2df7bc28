"""Write an ensemble to disk, and hold what is there against its settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

from orbmm.ensemble.layout import EnsembleFolder, ReplicaFolder, is_ensemble, read_members, write_members
from orbmm.ensemble.plan import Plan, Replica
from orbmm.errors import RunError
from orbmm.files import NO_ROOM, make_folder
from orbmm.settings import format_settings, read_settings, write_settings
from orbmm.simulation.advice import explain_disk_errors
from orbmm.simulation.folder.lock import lock_folder

_RESOLVED = {"model", "run.friction_per_ps"}
"""Settings that a run resolves when it begins, where they were left open."""


@contextmanager
def claim_ensemble(plan: Plan) -> Iterator[EnsembleFolder]:
    """Make the folder of an ensemble, or take it up again, and lock it inside the block.

    Raises RunError if the folder holds anything else, is in use by another process, cannot be written, or holds runs
    that have begun with other settings.
    """
    folder = plan.folder
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if not is_ensemble(folder.path) and any(one.name != "run.lock" for one in folder.path.iterdir()):
            raise RunError(f"{folder.path} is not empty and not the folder of an ensemble; choose another output")
        with lock_folder(folder.path), explain_disk_errors(folder.path):
            _write_plan(plan)
            yield folder
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise RunError(
            f"{folder.path} cannot be used for an ensemble ({error.strerror}); choose another output"
        ) from error


def _write_plan(plan: Plan) -> None:
    """Write the settings of each replica, and plan.json; check first those that have begun."""
    folder = plan.folder
    if is_ensemble(folder.path):
        known = {replica.name for replica in plan.replicas}
        lost = [member.name for member in read_members(folder) if member.name not in known]
        if lost:
            raise RunError(
                f"{folder.path} holds {len(lost)} replicas that the settings no longer name, such as {lost[0]}; "
                "name them again, or choose another output"
            )
    for replica in plan.replicas:
        _check_begun(folder.replica(replica.name), replica)
    for replica in plan.replicas:
        one = folder.replica(replica.name)
        make_folder(one.path)
        write_settings(replica.settings, one.settings, overwrite=True)
    write_members(folder, tuple(replica.member for replica in plan.replicas))


def _check_begun(folder: ReplicaFolder, replica: Replica) -> None:
    """Raise RunError if the run has begun with other settings than those that are planned now."""
    if not (folder.run.record.is_file() and folder.settings.is_file()):
        return
    before = tomllib.loads(format_settings(read_settings(folder.settings), folder.path))
    after = tomllib.loads(format_settings(replica.settings, folder.path))
    changed = [
        f"{table}.{key}" if isinstance(values, dict) else table
        for table, values in {**before, **after}.items()
        for key in (_list_keys(before, after, table) or [""])
        if _pick(before, table, key) != _pick(after, table, key)
    ]
    if changed:
        raise RunError(f"{replica.name} has begun with another {changed[0]}; undo the change, or choose another output")


def _list_keys(before: dict, after: dict, table: str) -> list[str]:
    return sorted({key for each in (before, after) for key in (each.get(table) or ()) if isinstance(key, str)})


def _pick(document: dict, table: str, key: str) -> object:
    values = document.get(table)
    return values.get(key) if isinstance(values, dict) else values
