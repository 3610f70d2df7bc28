"""Read the start of a run: atoms, positions, box, and velocities if a state file has them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from openmm import app, unit
from openmm.app.internal.pdbx.reader import PdbxReader as pdbx  # where its two errors are defined

from orbmm.errors import ConvertBareErrors, RunError, StructureError, quote_reason
from orbmm.forces.box import drop_placeholder_box, refuse_overfull_box
from orbmm.plain_text import describe_value
from orbmm.preparation.reading.damage import find_damage
from orbmm.preparation.residues import find_unwritable_name
from orbmm.run_files.state_xml import read_state
from orbmm.settings.system import SystemSettings

_READERS = {".pdb": app.PDBFile, ".ent": app.PDBFile, ".cif": app.PDBxFile, ".mmcif": app.PDBxFile}
# Errors of OpenMM's readers for damaged files whose messages are about their code, not about the file.
_MUTE_ERRORS = (KeyError, IndexError, TypeError, AttributeError, ArithmeticError, AssertionError, pdbx.PdbxError)


@dataclass(frozen=True)
class Structure:
    """Positions (N, 3) [nm] and velocities (N, 3) [nm/ps] or None; the box is in the topology."""

    topology: app.Topology
    positions: np.ndarray
    velocities: np.ndarray | None = None


def read_start(system: SystemSettings) -> Structure:
    """Read the prepared structure and, if there is one, the state that replaces its positions, velocities and box.

    Raises RunError for a missing file, StructureError for one that cannot be used.
    """
    if system.structure is None:
        raise RunError(f"[system] of {system.name} names no structure; build one with `orbmm prepare`")
    start = _read_structure(system.structure)
    drop_placeholder_box(start.topology)
    if system.state is not None:
        start = _apply_state(start, system.state)
    refuse_overfull_box(start.topology, str(system.state or system.structure))
    return start


def _read_structure(path: Path) -> Structure:
    _require_file(path, "structure")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise StructureError(f"{path}: the suffix must be one of {', '.join(_READERS)}")
    _refuse_damage(path)
    refuse_impossible_box(path)
    try:
        with (
            ConvertBareErrors(),
            path.open(encoding="utf-8-sig", errors="replace") as stream,  # old files hold names in other encodings
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "WARNING: duplicate atom")  # refused below
            structure = reader(stream)
    except (*_MUTE_ERRORS, ValueError, pdbx.SyntaxError) as error:
        raise StructureError(
            f"{path}: no atoms can be read from this {path.suffix.lower()} file{_quote_reason(error)}; "
            "is the file complete, and of that format?"
        ) from error
    if structure.topology.getNumAtoms() == 0:
        raise StructureError(f"{path}: holds no atoms")
    name = find_unwritable_name(structure.topology)
    if name is not None:
        raise StructureError(f"{path}: the name {describe_value(name)} holds a control character; give another")
    _refuse_other_number(path, structure.topology.getNumAtoms())
    positions = _strip_unit(structure.getPositions(asNumpy=True), unit.nanometer)
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        raise StructureError(f"{path}: the coordinates of atom {wrong[0]} (counted from 0) are not finite numbers")
    return Structure(structure.topology, positions)


def _refuse_damage(path: Path) -> None:
    """Raise StructureError for a file with an atom that OpenMM would leave out or read in part."""
    kind: Literal["pdb", "cif"] = "pdb" if _READERS[path.suffix.lower()] is app.PDBFile else "cif"
    fault = find_damage(path.read_text(encoding="utf-8-sig", errors="replace"), kind)
    if fault is not None:
        raise StructureError(f"{path}: {fault}; is the file whole?")


def _refuse_other_number(path: Path, atoms: int) -> None:
    """Raise StructureError unless the atoms of the first model were read; two may have one name and number."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    pdb = _READERS[path.suffix.lower()] is app.PDBFile
    if pdb and (strays := _count_between_models(lines)):
        raise StructureError(f"{path}: {strays} atoms follow an ENDMDL record without a MODEL record; add it")
    listed = _count_in_pdb(lines) if pdb else _count_in_cif(lines, atoms)
    if atoms < listed:
        raise StructureError(
            f"{path}: only {atoms} of the {listed} atoms of its first model can be told apart, because residues or "
            "atoms share a name and a number: number the residues anew, and name the atoms of each differently"
        )


def _list_first_model(lines: list[str]) -> Iterator[str]:
    """Yield the atoms of the first model, up to ENDMDL or to the next MODEL."""
    models = 0
    for line in lines:
        models += line.startswith("MODEL")
        if line.startswith("ENDMDL") or models > 1:
            return
        if line.startswith(("ATOM  ", "HETATM")):
            yield line


def _count_between_models(lines: list[str]) -> int:
    """Count atoms that no model holds; OpenMM adds them to the model before."""
    strays, between = 0, False
    for line in lines:
        if line.startswith(("MODEL", "ENDMDL")):
            between = line.startswith("ENDMDL")
        strays += between and line.startswith(("ATOM  ", "HETATM"))
    return strays


def _count_in_pdb(lines: list[str]) -> int:
    """Count the atoms of the first model; alternate locations of one atom count once."""
    atoms = list(_list_first_model(lines))
    alternate = [line[12:16] + line[21:27] for line in atoms if line[16:17].strip()]
    return len(atoms) - len(alternate) + len(set(alternate))


def _count_in_cif(lines: list[str], atoms: int) -> int:
    """Count as in a PDB file; the slow reader is asked only where the lines do not answer."""
    if sum(line.startswith(("ATOM", "HETATM")) for line in lines) <= atoms:
        return atoms
    blocks: list = []
    pdbx.PdbxReader(iter(lines)).read(blocks)
    table = blocks[0].getObj("atom_site")
    rows = [dict(zip(table.getAttributeList(), row, strict=False)) for row in table.getRowList()]
    first = [row for row in rows if row.get("pdbx_PDB_model_num") == rows[0].get("pdbx_PDB_model_num")]
    alternate = [row for row in first if row.get("label_alt_id", ".") not in (".", "?", "")]
    keys = ("label_asym_id", "auth_asym_id", "label_seq_id", "auth_seq_id", "pdbx_PDB_ins_code", "label_atom_id")
    return len(first) - len(alternate) + len({tuple(row.get(key) for key in keys) for row in alternate})


def _quote_reason(error: Exception) -> str:
    """Return OpenMM's message about the file, such as " (Misaligned residue name)"; '' if it is about its code."""
    if isinstance(error, _MUTE_ERRORS):
        return ""
    text = f"line {error.lineNumber}: {error.text}" if isinstance(error, pdbx.SyntaxError) else str(error)
    return quote_reason(" ".join(text.split()))


def _apply_state(start: Structure, path: Path) -> Structure:
    """Return the start with positions, velocities and box of a state XML. The box is set in the topology of `start`."""
    _require_file(path, "state")
    state = read_state(path)
    if state.positions is None:
        raise StructureError(f"{path}: holds no positions; save them with simulation.saveState")
    if len(state.positions) != len(start.positions):
        raise StructureError(
            f"{path}: holds {len(state.positions)} atoms, but the structure has {len(start.positions)}"
        )
    if state.velocities is not None and len(state.velocities) != len(state.positions):
        raise StructureError(f"{path}: holds {len(state.velocities)} velocities for {len(state.positions)} atoms")
    if start.topology.getPeriodicBoxVectors() is not None and state.box is not None:
        start.topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    return Structure(start.topology, state.positions, state.velocities)  # without velocities they are drawn


def _require_file(path: Path, what: str) -> None:
    if path.is_dir():
        raise RunError(f"{what} {path} is a folder; name the file in it")
    if not path.is_file():
        raise RunError(f"{what} file {path} does not exist; `orbmm prepare` builds a box, or correct the path")


def _strip_unit(quantity: unit.Quantity, wanted: unit.Unit) -> np.ndarray:
    return np.array(quantity.value_in_unit(wanted), dtype=np.float64)


_CRYST1_COLUMNS = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
_CELL_ENTRIES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def refuse_impossible_box(path: Path) -> None:
    """Raise StructureError for an impossible box in a PDB or mmCIF file, before OpenMM reads it.

    OpenMM ignores a box with one length of 0 without a warning, and raises mathematical errors for others.
    """
    pdb = path.suffix.lower() in (".pdb", ".ent")
    with path.open(encoding="utf-8", errors="replace") as stream:
        for place, words in _list_cryst1(stream) if pdb else _list_cell(stream):
            if not (_is_possible(words) or (pdb and _is_absent(words))):
                raise StructureError(
                    f"{path}: {place} gives no possible box: {' '.join(words)}; expected three lengths above 0 Å and "
                    f"three angles that close a cell{', or lengths of 0 for no box at all' if pdb else ''}"
                )


def _list_cryst1(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the line and the six words of each box in the part of a PDB file that OpenMM reads."""
    for number, line in enumerate(lines, start=1):
        if line.startswith("END"):
            return
        if line.startswith("CRYST1"):
            yield f"CRYST1 in line {number}", [line[first:last].strip() for first, last in _CRYST1_COLUMNS]


def _list_cell(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the line and the six words of the box of an mmCIF file that has each on a separate line."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) == 2 and words[0].startswith("_cell."):
            found.setdefault(words[0].removeprefix("_cell."), (number, words[1].strip("'\"")))
    if all(entry in found for entry in _CELL_ENTRIES):
        yield f"_cell in line {found['length_a'][0]}", [found[entry][1] for entry in _CELL_ENTRIES]


def _is_absent(words: list[str]) -> bool:
    numbers = _read_numbers(words)
    return numbers is not None and not numbers[:3].any()


def _is_possible(words: list[str]) -> bool:
    """Return whether three lengths [Å] and three angles [degrees] give a cell with a volume above 0."""
    numbers = _read_numbers(words)
    if numbers is None or not np.isfinite(numbers).all() or (numbers <= 0.0).any() or (numbers[3:] >= 180.0).any():
        return False
    cosines = np.cos(np.radians(numbers[3:]))
    return bool(1.0 - (cosines**2).sum() + 2.0 * cosines.prod() > 0.0)  # squared volume of a cell of unit lengths


def _read_numbers(words: list[str]) -> np.ndarray | None:
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        return None
