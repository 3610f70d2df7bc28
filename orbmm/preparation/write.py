"""A prepared system as a folder: structure, settings to run it, and the record of every change."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from string import ascii_letters
from typing import TYPE_CHECKING

import numpy as np
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.outputs import OutputFolder
from orbmm.settings.paths import is_source_file
from orbmm.settings.settings import Settings
from orbmm.settings.toml import format_settings

if TYPE_CHECKING:
    from orbmm.preparation.prepare import PreparedSystem

SETTINGS_FILE = "system.toml"
RECORD_FILE = "preparation.json"
_MOST_ATOMS_IN_PDB = 99_999


def write_prepared(
    prepared: PreparedSystem,
    settings: Settings,
    folder: Path,
    *,
    overwrite: bool = False,
    recipe: Path | None = None,
) -> Path:
    """Write <name>.pdb (.cif if PDB cannot hold it), preparation.json and, last, system.toml, whose path is returned.

    Raises what `check_prepared_folder` does, PreparationError too if the folder cannot be written.
    """
    check_prepared_folder(settings, folder, overwrite=overwrite, recipe=recipe)
    suffix = choose_suffix(prepared.topology)
    structure = folder.resolve() / f"{settings.system.name}{suffix}"
    system = dataclasses.replace(settings.system, structure=structure, state=None)
    record = json.dumps(dataclasses.asdict(prepared.record), indent=2, ensure_ascii=False)
    contents = {
        structure.name: format_structure(prepared.topology, prepared.positions, suffix).encode(),
        RECORD_FILE: f"{record}\n".encode(),
        SETTINGS_FILE: format_settings(dataclasses.replace(settings, system=system), folder).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _open_folder(settings, folder, recipe).write(contents)
    except OSError as error:
        raise PreparationError(f"the prepared system cannot be written to {folder}: {error}") from error
    return folder / SETTINGS_FILE


def check_prepared_folder(
    settings: Settings, folder: Path, *, overwrite: bool = False, recipe: Path | None = None
) -> None:
    """Check before the work that a prepared system can be written to the folder, which need not be there.

    overwrite: replace an earlier prepared system. recipe: file that the settings were read from, which stays.
    Raises OutputError where a file is in the way that orbmm did not write, or that is read; PreparationError where the
    folder holds a prepared system already, unless it may be replaced, or cannot be written.
    """
    names = [f"{settings.system.name}{suffix}" for suffix in (".pdb", ".cif")]
    try:
        _open_folder(settings, folder, recipe).check([*names, RECORD_FILE, SETTINGS_FILE])
    except OSError as error:
        raise PreparationError(f"the prepared system cannot be written to {folder}: {error}") from error
    if not overwrite and (folder / SETTINGS_FILE).exists():
        raise PreparationError(f"{folder / SETTINGS_FILE} exists already: name another --output, or say --overwrite")


def _open_folder(settings: Settings, folder: Path, recipe: Path | None) -> OutputFolder:
    source = settings.system.source
    files = [recipe, Path(source) if source is not None and is_source_file(source) else None]
    return OutputFolder(folder, tuple(path for path in files if path is not None), editable=(SETTINGS_FILE,))


def choose_suffix(topology: app.Topology) -> str:
    """Return the suffix of a format from which all names and numbers are read back: .pdb, else .cif."""
    return ".pdb" if topology.getNumAtoms() <= _MOST_ATOMS_IN_PDB and fits_pdb(topology) else ".cif"


def fits_pdb(topology: app.Topology) -> bool:
    """Return True if every name and number fits its columns of a PDB file, so that it is read back unchanged."""
    return all(
        len(residue.chain.id) == 1
        and len(residue.id) <= 4
        and len(residue.insertionCode) <= 1
        and len(residue.name) <= 3
        and all(len(atom.name) <= 4 for atom in residue.atoms())
        for residue in topology.residues()
    )


def format_structure(topology: app.Topology, positions: unit.Quantity, suffix: str) -> str:
    """Return the text of a structure file, without OpenMM's line that carries the date.

    Chains without a name get one for mmCIF, in the file alone.
    """
    stream = io.StringIO()
    if suffix == ".cif":
        topology = _name_blank_chains(topology)
        app.PDBxFile.writeFile(topology, positions, stream, keepIds=True)
        lines = [line for line in stream.getvalue().splitlines(keepends=True) if not line.startswith("# Created")]
        return "".join(_separate_chains(topology, lines))
    app.PDBFile.writeFile(topology, positions, stream, keepIds=True)
    lines = [line for line in stream.getvalue().splitlines(keepends=True) if not line.startswith("REMARK")]
    return "".join(_connect_rings(topology, lines))


def _connect_rings(topology: app.Topology, lines: list[str]) -> list[str]:
    """Add a CONECT record for each bond that closes a cyclic peptide: OpenMM writes none between standard residues."""
    serials = [line[6:11] for line in lines if line.startswith(("ATOM  ", "HETATM"))]
    records = [
        f"CONECT{serials[first.index]}{serials[second.index]}\nCONECT{serials[second.index]}{serials[first.index]}\n"
        for first, second in topology.bonds()
        if {first.name, second.name} == {"N", "C"} and abs(first.residue.index - second.residue.index) > 1
    ]
    end = next((at for at, line in enumerate(lines) if line.startswith("END")), len(lines))
    return [*lines[:end], *records, *lines[end:]]


def _name_blank_chains(topology: app.Topology) -> app.Topology:
    """Return the topology with chains without a name named by the first free letter: mmCIF has no blank values."""
    names = {chain.id for chain in topology.chains()}
    if all(name.strip() for name in names):
        return topology
    copy = app.Modeller(topology, np.zeros((topology.getNumAtoms(), 3)) * unit.nanometer)
    copy.delete([])  # which makes another Topology
    free = next(letter for letter in ascii_letters if letter not in names)
    for chain in copy.topology.chains():
        chain.id = chain.id.strip() or free
    return copy.topology


def _separate_chains(topology: app.Topology, lines: list[str]) -> Iterator[str]:
    """Yield the lines with other labels where two chains of one name follow each other: a reader would join them.

    There are never more labels than names, because OpenMM takes as names whichever are more.
    """
    labels = _label_chains([chain.id for chain in topology.chains()])
    chains = (labels[atom.residue.chain.index] for atom in topology.atoms())
    for line in lines:
        if line.startswith(("ATOM  ", "HETATM  ")):
            label, name = next(chains), line.split()[6]
            at = line.index(f" {name} ?") + 1
            line = f"{line[:at]}{label}{line[at + len(name) :]}"
        yield line


def _label_chains(names: list[str]) -> list[str]:
    labels: list[str] = []
    for at, name in enumerate(names):
        taken = labels[-1] if at and names[at - 1] == name else None
        others = (other for other in dict.fromkeys(names) if other != taken)
        labels.append(name if taken != name else next(others, name))
    return labels
