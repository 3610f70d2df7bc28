"""Changes of settings and weights between two parts of one run: find them, refuse or accept them."""

from __future__ import annotations

import dataclasses
import logging
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orbmm.errors import RunError
from orbmm.files import hash_file, write_file
from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.run_files.layout import RunFolder
from orbmm.settings import (
    ModelSettings,
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
from orbmm.settings.time_step import count_steps
from orbmm.simulation.folder.checkpoint import Checkpoint
from orbmm.simulation.folder.record import read_record, write_record
from orbmm.simulation.force_source import ForceIdentity
from orbmm.simulation.schedule import plan_stages

_LOG = logging.getLogger(__name__)

_FIXED = frozenset(
    f"{table}.{name}"
    for table, settings_class in (("system", SystemSettings), ("model", ModelSettings), ("run", RunSettings))
    for name in list_marked(settings_class, "fixed")
)

_FREE_IN_STAGE = ("temperature_kelvin", "from_temperature_kelvin", "friction_per_ps", "iterations")
"""Settings of a stage that may change; also the length of the last stage and the numbers of a restraint may.

Checkpoints depend on all others.
"""

_REPLACED = "settings_replaced"
"""Key of the record while settings.toml is replaced: the sha256 of the file as it was."""

_DECIMALS = 12  # of a length [ps] that is a difference


@dataclass(frozen=True)
class ResumeRequest:
    """The options of a resumed run.

    extend_ps: added to the total length in the settings [ps], once: not again before that length is reached
    until_ps: the total length of production [ps]
    accept_changes: accept edited settings and other weights instead of refusing them
    max_hours: wall-clock time after which the run saves and ends
    use_lock: False for a file system without locks
    """

    extend_ps: float = 0.0
    accept_changes: bool = False
    max_hours: float | None = None
    until_ps: float | None = None
    use_lock: bool = True


@dataclass(frozen=True)
class ResumedSettings:
    """The settings and the record of a resumed run. They are not on disk until `write` is called."""

    settings: Settings
    record: dict[str, Any]
    is_extended: bool
    is_changed: bool

    def write(self, folder: RunFolder) -> None:
        """Write accepted changes and a new length to disk.

        After a kill between the two files, the record says which settings are to be replaced.
        """
        if self.is_extended:
            write_record(folder, self.record | {_REPLACED: hash_file(folder.settings)})
            write_file(folder.settings, format_settings(self.settings, folder.path).encode())
        if self.is_changed:
            write_record(folder, self.record)


def accept_settings(folder: RunFolder, request: ResumeRequest, checkpoint: Checkpoint | None) -> ResumedSettings:
    """Return the settings and the record of a resumed run, with accepted changes and a new length; write nothing.

    Raises RunError with each differing setting if changes are not accepted.
    """
    record = read_record(folder)
    settings = read_settings(folder.settings)
    replaced = record.pop(_REPLACED, None)
    is_torn = replaced is not None and replaced == hash_file(folder.settings)
    if is_torn:
        settings = make_settings(record["settings"], folder.record)
    # Settings that are newer than the run have their defaults on both sides.
    before = _list_values(make_settings(record["settings"], folder.record), folder)
    after = _list_values(settings, folder)
    changes = {key: f"{before.get(key)!r} -> {after.get(key)!r}" for key in _list_differing(before, after)}
    _require_acceptable(folder, settings, changes, request)
    step = 0 if checkpoint is None else checkpoint.step
    is_producing = checkpoint is not None and checkpoint.folder.phase == PRODUCTION
    length_ps = _find_length(settings, record, request, step if is_producing else 0)
    if length_ps is not None:
        settings = _lengthen(settings, length_ps)
        longer = _list_values(settings, folder)
        changes |= {key: f"{before.get(key)!r} -> {longer[key]!r}" for key in _list_differing(after, longer)}
    if changes:
        written = tomllib.loads(format_settings(settings, folder.path))
        record = _note(record, changes, step, extended=bool(request.extend_ps)) | {"settings": written}
    is_extended = is_torn or length_ps is not None
    return ResumedSettings(settings, record, is_extended, is_extended or bool(changes))


def _find_length(settings: Settings, record: dict[str, Any], request: ResumeRequest, step: int) -> float | None:
    """Return the length of the last stage that is asked for [ps]; None if it has that length already.

    step: of the checkpoint, in production
    Raises RunError for a length that is shorter, or that is asked for in two ways.
    """
    last, planned = settings.production, plan_stages(settings)[-1]
    timestep_ps = last.timestep_fs / 1000.0
    if request.until_ps is not None:
        if request.extend_ps:
            raise RunError("give --until or --extend, not both")
        if count_steps("until_ps", request.until_ps, last.timestep_fs) < planned.phase_steps:
            raise RunError(
                f"--until is {request.until_ps:g} ps, but the run is {planned.phase_steps * timestep_ps:g} ps long "
                "already; give at least that, or start a new run"
            )
        if count_steps("until_ps", request.until_ps, last.timestep_fs) == planned.phase_steps:
            return None
        return round(request.until_ps - (planned.phase_steps - last.steps) * timestep_ps, _DECIMALS)
    if not request.extend_ps:
        return None
    if step < planned.last_step and _was_extended(record):
        _LOG.warning(
            "--extend is not added again: the run was made longer before and has not reached %g ps yet; "
            "--until sets another length",
            planned.phase_steps * timestep_ps,
        )
        return None
    return (_read_length(settings) or settings.run.length_ps) + request.extend_ps


def _was_extended(record: dict[str, Any]) -> bool:
    """Return whether the last change of a length was made by `--extend`."""
    entries = [entry for entry in record.get("changed", []) if any(_is_length(key) for key in entry["changes"])]
    return bool(entries) and entries[-1].get("extended") is True


def _is_length(key: str) -> bool:
    return key.rpartition(".")[2] == "length_ps"


def _read_length(settings: Settings) -> float | None:
    """Return the length of the last stage [ps] if it has its own."""
    return settings.stage[-1].length_ps if settings.stage else None


def _lengthen(settings: Settings, length_ps: float) -> Settings:
    """Return the settings with another length of the last stage: its own, or that of [run] if it alone uses that."""
    *others, last = settings.stage or (StageSettings(kind="produce"),)
    if last.length_ps is None and all(stage.kind == "minimise" or stage.length_ps is not None for stage in others):
        return override_settings(settings, {"run": {"length_ps": length_ps}})
    return dataclasses.replace(settings, stage=(*others, dataclasses.replace(last, length_ps=length_ps)))


def accept_weights(folder: RunFolder, record: dict[str, Any], found: ForceIdentity, accepted: bool, step: int) -> None:
    """Raise RunError for weights other than those of the record, or record them if changes are accepted."""
    recorded = (record["weights_sha256"], record.get("fast_weights_sha256"))
    now = (found.weights_sha256, found.fast_weights_sha256)
    if now == recorded:
        return
    change = f"sha256 {_shorten_hashes(*recorded)} then, {_shorten_hashes(*now)} now"
    if not accepted:
        raise RunError(
            f"the weights have changed since the run started: {change}; use the same weights, start a new run, "
            "or, if you want this change, resume with --force-new-settings"
        )
    weights = {"weights_sha256": found.weights_sha256, "fast_weights_sha256": found.fast_weights_sha256}
    weights["weights_proof"] = found.weights_proof
    write_record(folder, _note(record, {"weights": change}, step) | weights)


def _shorten_hashes(*hashes: str | None) -> str:
    return " and ".join(f"{each[:12]}..." for each in hashes if each)


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


def _note(record: dict[str, Any], changes: dict[str, str], step: int, extended: bool = False) -> dict[str, Any]:
    """Return the record with one more entry: which settings were changed, when and at which step.

    extended: whether `--extend` is among the reasons
    """
    entry: dict[str, Any] = {"step": step, "at": datetime.now(UTC).isoformat(timespec="seconds"), "changes": changes}
    if extended:
        entry["extended"] = True
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
