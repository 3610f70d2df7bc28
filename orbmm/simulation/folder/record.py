"""Write and read settings.toml and run.json of a run folder; a run is resumed from these files."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from typing import Any

import openmm

from orbmm.errors import RunError
from orbmm.files import NO_ROOM, hash_file, make_folder, read_json, replace_file, write_file
from orbmm.forces.versions import list_installed
from orbmm.plain_text import describe_value
from orbmm.run_files.layout import INPUT_KEYS, RunFolder
from orbmm.settings import Settings, format_settings, override_settings
from orbmm.simulation.dynamics.thermometer import make_thermometer
from orbmm.simulation.force_source import ForceIdentity

_LARGEST_RECORD_BYTES = 10_000_000
_NEEDED = {"settings": dict, "inputs": dict, "weights_sha256": str, "platform": str}
_PACKAGES = ("orbmm", "openmm", "openmmml", "openmmtorch", "torch", "nvalchemi-toolkit-ops", "numpy")


def list_facts(settings: Settings, system: openmm.System, platform: str, identity: ForceIdentity) -> dict[str, Any]:
    """Return model, weights, seed, device, force kind, platform and versions of a run that starts now."""
    return {
        "model": settings.model.name,
        "weights_sha256": identity.weights_sha256,
        "fast_weights_sha256": identity.fast_weights_sha256,
        "weights_proof": identity.weights_proof,
        "seed": settings.run.seed,
        "device": identity.device,
        "force_kind": identity.kind,
        "platform": platform,
        **({"first_contact": identity.first_contact} if identity.first_contact else {}),
        "atoms": system.getNumParticles(),
        "degrees_of_freedom": make_thermometer(system).degrees_of_freedom,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": python_version(), **list_installed(_PACKAGES)},
    }


def describe_run(folder: RunFolder, settings: Settings, facts: Mapping[str, Any]) -> None:
    """Copy the input files and write settings.toml and run.json, from which the run can be resumed."""
    settings, copies = _copy_inputs(folder, settings)
    text = format_settings(settings, folder.path)
    write_file(folder.settings, text.encode())
    inputs = {str(path.relative_to(folder.path)): hash_file(path) for path in copies}
    record = {**facts, "inputs": inputs, "settings": tomllib.loads(text)}
    write_record(folder, record)


def record_contact(folder: RunFolder, identity: ForceIdentity) -> None:
    """Keep the first contact of a resumed run in run.json; that of another card or driver joins the earlier ones."""
    if identity.first_contact is None:
        return
    record, found = read_record(folder), json.loads(json.dumps(identity.first_contact))
    earlier = record.get("first_contact")
    if isinstance(earlier, dict) and earlier.get("meeting") == found["meeting"]:
        return
    passed = [*record.get("earlier_contacts", []), *([earlier] if earlier else [])]
    write_record(folder, record | {"first_contact": found} | ({"earlier_contacts": passed} if passed else {}))


def read_record(folder: RunFolder) -> dict[str, Any]:
    """Read run.json. Raises RunError if it is damaged, or if an input file was changed."""
    try:
        record = read_json(folder.record, _LARGEST_RECORD_BYTES)
        _require_types(record)
        changed = [name for name, sha256 in record["inputs"].items() if not _is_unchanged(folder.path / name, sha256)]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder.record} is damaged ({error}); restore it from a copy, or start a new run") from error
    if changed:
        raise RunError(
            f"{folder.path} was changed since its run started: {', '.join(changed)}; undo that, or start a new run"
        )
    return dict(record)


def _require_types(record: Any) -> None:
    """Raise KeyError or TypeError for a record that lacks something, or holds it in another form."""
    for key, kind in _NEEDED.items():
        if not isinstance(record[key], kind):
            raise TypeError(f"{key} is {describe_value(record[key])}")
    changed = record.get("changed", [])
    if not isinstance(changed, list) or not all(isinstance(entry["changes"], dict) for entry in changed):
        raise TypeError(f"changed is {describe_value(changed)}")


def write_record(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Replace run.json."""
    write_file(folder.record, json.dumps(record, indent=1).encode())


def _copy_inputs(folder: RunFolder, settings: Settings) -> tuple[Settings, list[Path]]:
    """Copy the input files into the folder; return the settings with the new paths, and the copies.

    Weights are not copied; run.json holds their hash.
    """
    copies = []
    for table, key in INPUT_KEYS:
        source = getattr(getattr(settings, table), key)
        if source is None:
            continue
        if not source.is_file():
            raise RunError(
                f"{table}.{key} is {source}, but there is no such file; correct the path or remove the setting"
            )
        copy = folder.inputs / f"{key}{source.suffix}"
        make_folder(folder.inputs)
        try:
            with replace_file(copy) as partial:
                shutil.copyfile(source, partial)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise OSError(error.errno, error.strerror, str(copy)) from error  # the library names the source
            raise RunError(f"{table}.{key} {source} cannot be copied to {copy} ({error.strerror})") from error
        copies.append(copy)
        settings = override_settings(settings, {table: {key: copy}})
    return settings, copies


def _is_unchanged(path: Path, sha256: str) -> bool:
    return path.is_file() and hash_file(path) == sha256
