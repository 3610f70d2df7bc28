"""Changes of settings and weights between two parts of one run: find them, refuse or accept them."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orbmm.errors import RunError
from orbmm.files import write_file
from orbmm.run_files.layout import RunFolder
from orbmm.settings import (
    RunSettings,
    Settings,
    StageSettings,
    SystemSettings,
    format_settings,
    make_settings,
    override_settings,
    read_settings,
)
from orbmm.settings.field import list_marked
from orbmm.simulation.folder.record import read_record, write_record
from orbmm.simulation.force_source import ForceIdentity

_FIXED = frozenset(
    f"{table}.{name}"
    for table, settings_class in (("system", SystemSettings), ("run", RunSettings))
    for name in list_marked(settings_class, "fixed")
)

_FREE_IN_STAGE = ("temperature_kelvin", "from_temperature_kelvin", "friction_per_ps", "iterations")
"""Settings of a stage that may change; also the length of the last stage and the numbers of a restraint may.

Checkpoints depend on all others.
"""


@dataclass(frozen=True)
class ResumeRequest:
    """The options of a resumed run.

    extend_ps: added to the total length in the settings [ps]
    accept_changes: accept edited settings and other weights instead of refusing them
    max_hours: wall-clock time after which the run saves and ends
    """

    extend_ps: float = 0.0
    accept_changes: bool = False
    max_hours: float | None = None


@dataclass(frozen=True)
class ResumedSettings:
    """The settings and the record of a resumed run. They are not on disk until `write` is called."""

    settings: Settings
    record: dict[str, Any]
    is_extended: bool
    is_changed: bool

    def write(self, folder: RunFolder) -> None:
        """Write accepted changes and a new length to disk."""
        if self.is_extended:
            write_file(folder.settings, format_settings(self.settings, folder.path).encode())
        if self.is_changed:
            write_record(folder, self.record)


def accept_settings(folder: RunFolder, request: ResumeRequest, step: int) -> ResumedSettings:
    """Return the settings and the record of a resumed run, with accepted changes and a new length; write nothing.

    Raises RunError with each differing setting if changes are not accepted.
    """
    record = read_record(folder)
    settings = read_settings(folder.settings)
    # Settings that are newer than the run have their defaults on both sides.
    before = _list_values(make_settings(record["settings"], folder.record), folder)
    after = _list_values(settings, folder)
    changes = {key: f"{before.get(key)!r} -> {after.get(key)!r}" for key in _list_differing(before, after)}
    _require_acceptable(folder, settings, changes, request)
    if request.extend_ps:
        settings = _extend(settings, request.extend_ps)
        longer = _list_values(settings, folder)
        changes |= {key: f"{before[key]!r} -> {longer[key]!r}" for key in _list_differing(after, longer)}
    if changes:
        written = tomllib.loads(format_settings(settings, folder.path))
        record = _note(record, changes, step) | {"settings": written}
    return ResumedSettings(settings, record, bool(request.extend_ps), bool(changes))


def _extend(settings: Settings, extend_ps: float) -> Settings:
    """Return the settings with a longer last stage; its length is in the stage itself or in [run]."""
    *others, last = settings.stage or (StageSettings(kind="produce"),)
    if last.length_ps is None:
        return override_settings(settings, {"run": {"length_ps": settings.run.length_ps + extend_ps}})
    longer = dataclasses.replace(last, length_ps=last.length_ps + extend_ps)
    return dataclasses.replace(settings, stage=(*others, longer))


def accept_weights(folder: RunFolder, record: dict[str, Any], found: ForceIdentity, accepted: bool, step: int) -> None:
    """Raise RunError for weights other than those of the record, or record them if changes are accepted."""
    recorded = record["weights_sha256"]
    if found.weights_sha256 == recorded:
        return
    change = f"sha256 {recorded[:12]}... then, {found.weights_sha256[:12]}... now"
    if not accepted:
        raise RunError(
            f"the weights have changed since the run started: {change}; use the same weights, start a new run, "
            "or, if you want this change, resume with --force-new-settings"
        )
    write_record(folder, _note(record, {"weights": change}, step) | {"weights_sha256": found.weights_sha256})


def _require_acceptable(folder: RunFolder, settings: Settings, changes: dict[str, str], request: ResumeRequest) -> None:
    listed = "; ".join(f"{key}: {change}" for key, change in changes.items())
    fixed = sorted(key for key in changes if _is_fixed(key, len(settings.stage)))
    if changes and not request.accept_changes:
        raise RunError(
            f"{folder.path} was changed since its run started: {listed}; undo that, start a new run, "
            "or, if you want this change, resume with --force-new-settings"
        )
    if fixed:
        raise RunError(
            f"{', '.join(fixed)} cannot change within a run ({listed}): finished steps and files depend on it; "
            "start a new run"
        )


def _note(record: dict[str, Any], changes: dict[str, str], step: int) -> dict[str, Any]:
    """Return the record with one more entry: which settings were changed, when and at which step."""
    entry = {"step": step, "at": datetime.now(UTC).isoformat(timespec="seconds"), "changes": changes}
    return record | {"changed": [*record.get("changed", []), entry]}


def _is_fixed(key: str, stages: int) -> bool:
    """Return whether a setting may not change within a run.

    stages: number of [[stage]] tables; the length of the last may change
    """
    table, *_, name = key.split(".")
    if table != "stage":
        return key in _FIXED
    return name not in _FREE_IN_STAGE and key != f"stage.{stages}.length_ps" and ".restraint." not in key


def _list_values(settings: Settings, folder: RunFolder) -> dict[str, Any]:
    """Return every setting by its name "table.key", those of the second stage as "stage.2.key"."""
    return dict(_walk("", tomllib.loads(format_settings(settings, folder.path))))


def _walk(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in nested tables and lists of tables, with their names joined by points."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {str(number): entry for number, entry in enumerate(value, start=1)}
    if not isinstance(value, dict):
        yield name, value
        return
    for key, entry in value.items():
        yield from _walk(f"{name}.{key}" if name else key, entry)


def _list_differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
