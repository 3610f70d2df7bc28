"""Bonds that a structure file states: SSBOND, LINK and CONECT records, the table struct_conn of an mmCIF file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orbmm.preparation.reading.atom_site import Row, open_atom_site, read_table
from orbmm.preparation.reading.pdb_lines import is_atom, read_key
from orbmm.preparation.reading.source import StructureFile

_COVALENT = ("covale", "disulf", "modres")  # and not metalc, hydrog


@dataclass(frozen=True)
class BondEnd:
    """One atom of a stated bond: residue such as "A:64", atom such as "SG"."""

    residue: str
    atom: str


@dataclass(frozen=True)
class StatedBond:
    """A bond between two residues.

    record: where it is stated; to_copy: whether it goes to a copy of the molecule in the crystal
    """

    first: BondEnd
    second: BondEnd
    record: str
    to_copy: bool = False


def read_stated_bonds(file: StructureFile) -> tuple[StatedBond, ...]:
    """Return every bond between different residues that the file states, each pair of atoms once."""
    found: dict[frozenset[BondEnd], StatedBond] = {}
    for bond in _read_pdb(file.text) if file.kind == "pdb" else _read_cif(file):
        if bond.to_copy or bond.first.residue != bond.second.residue:
            found.setdefault(frozenset((bond.first, bond.second)), bond)
    return tuple(found.values())


def _read_pdb(text: str) -> Iterator[StatedBond]:
    ends: dict[str, BondEnd] = {}
    connections = []
    for line in text.splitlines():
        if is_atom(line):
            ends.setdefault(line[6:11].strip(), BondEnd(read_key(line), line[12:16].strip()))
        elif line.startswith("SSBOND"):
            first, second = BondEnd(read_key(line, 15, 17), "SG"), BondEnd(read_key(line, 29, 31), "SG")
            yield StatedBond(first, second, "SSBOND", _joins_copies(line[59:65], line[66:72]))
        elif line.startswith("LINK  "):
            first = BondEnd(read_key(line, 21, 22), line[12:16].strip())
            second = BondEnd(read_key(line, 51, 52), line[42:46].strip())
            yield StatedBond(first, second, "LINK", _joins_copies(line[59:65], line[66:72]))
        elif line.startswith("CONECT"):
            connections.append([line[at : at + 5].strip() for at in (6, 11, 16, 21, 26)])
    for serial, *others in connections:
        for other in others:
            if serial in ends and other in ends:
                yield StatedBond(ends[serial], ends[other], "CONECT")


def _read_cif(file: StructureFile) -> Iterator[StatedBond]:
    site = open_atom_site(file)
    for row in read_table(site, "struct_conn"):
        if row.get("conn_type_id", "").lower().startswith(_COVALENT):
            first, second = _read_partner(row, 1), _read_partner(row, 2)
            to_copy = _joins_copies(row.get("ptnr1_symmetry", ""), row.get("ptnr2_symmetry", ""))
            yield StatedBond(first, second, "struct_conn", to_copy)


def _read_partner(row: Row, number: int) -> BondEnd:
    def value(name: str) -> str:
        return row.get(f"ptnr{number}_auth_{name}") or row.get(f"ptnr{number}_label_{name}", "")

    key = f"{value('asym_id')}:{value('seq_id')}{row.get(f'pdbx_ptnr{number}_PDB_ins_code', '')}"
    return BondEnd(key, row.get(f"ptnr{number}_label_atom_id", ""))


def _joins_copies(first: str, second: str) -> bool:
    """Return whether two operations of a crystal differ, such as 1555 and 3_655; none given is the same."""
    first, second = (operation.replace("_", "").strip() for operation in (first, second))
    return bool(first and second) and first != second
