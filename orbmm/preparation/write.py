"""A prepared system as a folder: structure, settings to run it, and the record of every change."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

from openmm import app

from orbmm.errors import PreparationError
from orbmm.preparation.prepare import PreparedSystem
from orbmm.settings.settings import Settings
from orbmm.settings.write import write_settings

SETTINGS_FILE = "system.toml"
RECORD_FILE = "preparation.json"
_MOST_ATOMS_IN_PDB = 99_999


def write_prepared(prepared: PreparedSystem, settings: Settings, folder: Path, *, overwrite: bool = False) -> Path:
    """Write <name>.pdb (or .cif beyond 99,999 atoms), preparation.json and system.toml, whose path is returned.

    Raises PreparationError if the folder holds a system.toml already, unless told to overwrite, or cannot be written.
    """
    refuse_taken_folder(folder, overwrite=overwrite)
    suffix = ".pdb" if prepared.record.atoms <= _MOST_ATOMS_IN_PDB else ".cif"
    structure = folder.resolve() / f"{settings.system.name}{suffix}"
    system = dataclasses.replace(settings.system, structure=structure, state=None)
    record = json.dumps(dataclasses.asdict(prepared.record), indent=2, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        structure.write_text(format_structure(prepared, suffix), encoding="utf-8")
        (folder / RECORD_FILE).write_text(record + "\n", encoding="utf-8")
        write_settings(dataclasses.replace(settings, system=system), folder / SETTINGS_FILE)
    except OSError as error:
        raise PreparationError(f"the prepared system cannot be written to {folder}: {error}") from error
    return folder / SETTINGS_FILE


def refuse_taken_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise PreparationError if the folder holds settings that would be lost."""
    if not overwrite and (folder / SETTINGS_FILE).exists():
        raise PreparationError(f"{folder / SETTINGS_FILE} exists already: name another --output, or say --overwrite")


def format_structure(prepared: PreparedSystem, suffix: str) -> str:
    """The text of the structure file; without OpenMM's first line, which carries the date."""
    stream = io.StringIO()
    if suffix == ".cif":
        app.PDBxFile.writeFile(prepared.topology, prepared.positions, stream, keepIds=True)
        return stream.getvalue()
    app.PDBFile.writeFile(prepared.topology, prepared.positions, stream, keepIds=True)
    return "".join(line for line in stream.getvalue().splitlines(keepends=True) if not line.startswith("REMARK"))
