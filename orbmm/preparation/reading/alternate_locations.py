"""One location for each atom where a crystal structure gives several."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orbmm.errors import PreparationError
from orbmm.preparation.reading.atom_site import Row, open_atom_site, read_author_key
from orbmm.preparation.reading.pdb_lines import is_atom, read_key
from orbmm.preparation.reading.source import StructureFile


@dataclass(frozen=True)
class LocationChoice:
    """The alternate location of a residue that was used.

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
        choices = _choose((_read_row(line) for line in lines if is_atom(line)), wanted)
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
    return _AtomRow(read_key(line), line[17:20].strip(), line[16:17].strip(), _read_occupancy(line[54:60]))


def _read_occupancy(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _keep_lines(lines: list[str], choices: Mapping[str, LocationChoice]) -> Iterator[str]:
    for line in lines:
        location = line[16:17].strip() if line.startswith(("ATOM", "HETATM", "ANISOU")) else ""
        if not location:
            yield line
        elif location == choices[read_key(line)].chosen:
            yield f"{line[:16]} {line[17:]}"


def _choose_in_cif(file: StructureFile, wanted: Mapping[str, str]) -> tuple[str, dict[str, LocationChoice]]:
    site = open_atom_site(file)
    choices = _choose(map(_read_cif_row, site.read_rows()), wanted)
    if not choices:
        return file.text, {}
    site.keep(lambda row: _stays(_read_cif_row(row), choices))
    for index in range(len(site.rows)):
        site.set_value(index, "label_alt_id", ".")
    return site.format_text(), choices


def _read_cif_row(row: Row) -> _AtomRow:
    """One row of an atom_site table; the author's chain and residue numbers, as they are elsewhere."""
    occupancy = _read_occupancy(row.get("occupancy", ""))
    return _AtomRow(read_author_key(row), row.get("label_comp_id", ""), row.get("label_alt_id", ""), occupancy)


def _stays(atom: _AtomRow, choices: Mapping[str, LocationChoice]) -> bool:
    return not atom.location or atom.location == choices[atom.key].chosen
