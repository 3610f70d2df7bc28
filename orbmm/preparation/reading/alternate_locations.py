"""One location for each atom where a crystal structure gives several."""

from __future__ import annotations

import dataclasses
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from openmm.app.internal.pdbx.reader.PdbxReader import PdbxReader
from openmm.app.internal.pdbx.writer.PdbxWriter import PdbxWriter

from orbmm.errors import PreparationError
from orbmm.preparation.reading.source import StructureFile

_NO_VALUE = frozenset({"", ".", "?"})


@dataclass(frozen=True)
class LocationChoice:
    """Which alternate location of a residue was taken.

    residue: such as "HIS A:64"
    chosen: letter of the location that stays
    occupancies: mean occupancy of each location
    """

    residue: str
    chosen: str
    occupancies: Mapping[str, float]


@dataclass(frozen=True)
class _AtomRow:
    key: str
    residue_name: str
    location: str
    occupancy: float


def choose_locations(
    file: StructureFile, wanted: Mapping[str, str]
) -> tuple[StructureFile, tuple[LocationChoice, ...]]:
    """The file with one location an atom, and what was chosen: a whole residue takes its highest mean occupancy.

    wanted: location by residue ("A:64") where another one is asked for; equal occupancies take the first letter
    Raises PreparationError for a residue or location in `wanted` that the file does not have.
    """
    if file.kind == "pdb":
        lines = file.text.splitlines()
        choices = _choose((_read_row(line) for line in lines if line.startswith(("ATOM", "HETATM"))), wanted)
        text = "\n".join(_keep_lines(lines, choices)) + "\n"
    else:
        text, choices = _choose_in_cif(file, wanted)
    if not choices:
        return file, ()
    return dataclasses.replace(file, text=text), tuple(choices.values())


def _choose(rows: Iterable[_AtomRow], wanted: Mapping[str, str]) -> dict[str, LocationChoice]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    names: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.location:
            found[row.key][row.location].append(row.occupancy)
            names.setdefault((row.key, row.location), row.residue_name)
    for key in wanted:
        if key not in found:
            having = f"these have: {', '.join(found)}" if found else "no residue of this file has any"
            raise PreparationError(f"alternate_locations names '{key}', which has no alternate locations; {having}")
    choices = {}
    for key, locations in found.items():
        occupancies = {letter: round(sum(of) / len(of), 3) for letter, of in sorted(locations.items())}
        chosen = wanted.get(key) or max(occupancies, key=lambda letter: occupancies[letter])
        if chosen not in occupancies:
            raise PreparationError(
                f"alternate_locations asks for location '{chosen}' of {key}, which has {', '.join(occupancies)}"
            )
        choices[key] = LocationChoice(f"{names[key, chosen]} {key}", chosen, occupancies)
    return choices


def _read_row(line: str) -> _AtomRow:
    """One ATOM or HETATM line of a PDB file: fixed columns."""
    try:
        occupancy = float(line[54:60])
    except ValueError:
        occupancy = 1.0
    return _AtomRow(_read_key(line), line[17:20].strip(), line[16:17].strip(), occupancy)


def _read_key(line: str) -> str:
    return f"{line[21:22].strip()}:{line[22:26].strip()}{line[26:27].strip()}"


def _keep_lines(lines: list[str], choices: Mapping[str, LocationChoice]) -> Iterator[str]:
    for line in lines:
        location = line[16:17].strip() if line.startswith(("ATOM", "HETATM", "ANISOU")) else ""
        if not location:
            yield line
        elif location == choices[_read_key(line)].chosen:
            yield f"{line[:16]} {line[17:]}"


def _choose_in_cif(file: StructureFile, wanted: Mapping[str, str]) -> tuple[str, dict[str, LocationChoice]]:
    blocks: list = []
    PdbxReader(io.StringIO(file.text)).read(blocks)
    table = blocks[0].getObj("atom_site") if blocks else None
    if table is None:
        raise PreparationError(f"{file.origin} has no atom_site table: not an mmCIF structure")
    names = table.getAttributeList()
    rows = table.getRowList()
    atoms = [_read_cif_row(dict(zip(names, row, strict=True))) for row in rows]
    choices = _choose(atoms, wanted)
    kept = [row for row, atom in zip(rows, atoms, strict=True) if _stays(atom, choices)]
    if choices:
        for row in kept:
            row[names.index("label_alt_id")] = "."
    rows[:] = kept
    stream = io.StringIO()
    PdbxWriter(stream).write(blocks)
    return stream.getvalue(), choices


def _read_cif_row(row: Mapping[str, str]) -> _AtomRow:
    """One row of an atom_site table; the author's chain and residue numbers, as OpenMM takes them."""
    given = {name: value for name, value in row.items() if value not in _NO_VALUE}
    chain = given.get("auth_asym_id") or given.get("label_asym_id", "")
    number = given.get("auth_seq_id") or given.get("label_seq_id", "")
    key = f"{chain}:{number}{given.get('pdbx_PDB_ins_code', '')}"
    occupancy = float(given.get("occupancy", "1"))
    return _AtomRow(key, given.get("label_comp_id", ""), given.get("label_alt_id", ""), occupancy)


def _stays(atom: _AtomRow, choices: Mapping[str, LocationChoice]) -> bool:
    return not atom.location or atom.location == choices[atom.key].chosen
