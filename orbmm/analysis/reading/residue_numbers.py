"""Numbers of residues above 9999, which a PDB file holds in letters of two kinds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import mdtraj as md

_LARGEST = 9999  # in four digits


def correct_numbers(topology: md.Topology, path: Path) -> None:
    """Number the residues above 9999 of a PDB file as its writer meant them; a topology from elsewhere is left alone.

    OpenMM and VMD count on in hexadecimal from A000, others in base 36 (hybrid-36); mdtraj reads base 36 alone. A file
    that has no letter beyond F is hexadecimal: the first 16 numbers are alike in both.
    """
    if topology.n_residues <= _LARGEST or path.suffix.lower() not in (".pdb", ".ent"):
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        fields = _list_fields(lines)
    lettered = [field for field in fields if field[:1].isalpha()]
    if len(fields) != topology.n_residues or not lettered:
        return
    try:
        base = 16 if max("".join(lettered)) <= "F" else 36
        for residue, field in zip(topology.residues, fields, strict=True):
            if field[:1].isalpha():
                residue.resSeq = int(field, base) - int("A000", base) + _LARGEST + 1
    except ValueError:
        return  # another way of counting


def _list_fields(lines: Iterable[str]) -> list[str]:
    """Return the number of each residue of the first model as it is written."""
    fields, before = [], ""
    for line in lines:
        if line.startswith("ENDMDL"):
            break
        if line.startswith(("ATOM  ", "HETATM")) and line[17:27] != before:
            before = line[17:27]
            fields.append(line[22:26].strip())
    return fields
