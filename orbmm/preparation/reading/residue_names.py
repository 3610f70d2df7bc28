"""Residue names of force fields, read as the residues they stand for, with the protonation state that they name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from pdbfixer.pdbfixer import proteinResidues

from orbmm.preparation.reading.atom_site import open_atom_site, read_author_key
from orbmm.preparation.reading.pdb_lines import is_atom, read_key
from orbmm.preparation.reading.source import StructureFile

# AMBER, CHARMM and GROMACS: the residue and the form that a name states, None where it states none.
_STATES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("HID", "HSD", "HISD", "HISA"), ("HIS", "HID")),
    **dict.fromkeys(("HIE", "HSE", "HISE", "HISB"), ("HIS", "HIE")),
    **dict.fromkeys(("HIP", "HSP", "HISH", "HISP"), ("HIS", "HIP")),
    **dict.fromkeys(("ASH", "ASPH", "ASPP"), ("ASP", "ASH")),
    **dict.fromkeys(("GLH", "GLUH", "GLUP"), ("GLU", "GLH")),
    **dict.fromkeys(("LYN", "LSN"), ("LYS", "LYN")),
    **dict.fromkeys(("LYP", "LYSH"), ("LYS", "LYS")),
    **dict.fromkeys(("CYM", "CYSM"), ("CYS", "CYM")),
    **dict.fromkeys(("CYX", "CYS2"), ("CYS", "CYX")),
    "CYSH": ("CYS", "CYS"),
    "HIS1": ("HIS", None),
    "ARGN": ("ARG", "ARGN"),
}


def _add_terminal_names(states: dict[str, tuple[str, str | None]]) -> dict[str, tuple[str, str | None]]:
    """AMBER writes N or C before the name of a first or last residue, 5 or 3 after that of a nucleotide."""
    amber = {name: (name, None) for name in proteinResidues} | {n: s for n, s in states.items() if len(n) == 3}
    ends = {f"{end}{name}": state for name, state in amber.items() for end in "NC"}
    nucleic = {name: (name, None) for name in ("A", "C", "G", "U", "DA", "DC", "DG", "DT")}
    nucleic |= {f"R{base}": (base, None) for base in "ACGU"}
    ends |= {f"{name}{end}": state for name, state in nucleic.items() for end in "53"}
    return ends | states


NAMES = _add_terminal_names(_STATES)
_FOREIGN_ATOMS = frozenset({"P", "OG"})  # of phosphohistidine and homoserine, not of histidine


@dataclass(frozen=True)
class StatedForm:
    """A protonation state that the name of a residue states: name such as "HSE", form such as "HIE"."""

    name: str
    form: str


def find_parent(name: str) -> str:
    """Return the residue that a name of a force field stands for; any other name as it is."""
    return NAMES[name][0] if name in NAMES else name


def read_force_field_names(file: StructureFile) -> tuple[StructureFile, Mapping[str, StatedForm]]:
    """Return the file with the names of its residues' parents, and the stated forms by residue ("A:64").

    In the Protein Data Bank HIP is phosphohistidine and HSE homoserine, known by P and OG: these keep their names.
    """
    return _rename_in_pdb(file) if file.kind == "pdb" else _rename_in_cif(file)


def _rename_in_pdb(file: StructureFile) -> tuple[StructureFile, Mapping[str, StatedForm]]:
    lines = file.text.splitlines()
    found: dict[str, str] = {}
    foreign = {read_key(line) for line in lines if is_atom(line) and line[12:16].strip() in _FOREIGN_ATOMS}
    for at, line in enumerate(lines):
        if line.startswith(("ATOM", "HETATM", "ANISOU", "TER")):
            key, name = read_key(line), line[17:21].strip()
            parent = _find_parent_of_residue(name, key in foreign)
            if parent != name:
                found.setdefault(key, name)
                lines[at] = f"{line[:17]}{parent:>3s} {line[21:]}"
    return (dataclasses.replace(file, text="\n".join(lines) + "\n") if found else file), _list_forms(found)


def _rename_in_cif(file: StructureFile) -> tuple[StructureFile, Mapping[str, StatedForm]]:
    site = open_atom_site(file)
    found: dict[str, str] = {}
    rows = list(site.read_rows())
    foreign = {read_author_key(row) for row in rows if row.get("label_atom_id") in _FOREIGN_ATOMS}
    for index, row in enumerate(rows):
        key, name = read_author_key(row), row.get("label_comp_id", "")
        parent = _find_parent_of_residue(name, key in foreign)
        if parent != name:
            found.setdefault(key, name)
            site.set_value(index, "label_comp_id", parent)
            site.set_value(index, "auth_comp_id", parent)
    return (dataclasses.replace(file, text=site.format_text()) if found else file), _list_forms(found)


def _find_parent_of_residue(name: str, is_foreign: bool) -> str:
    """Return the parent of a residue, itself where an atom shows that it is no histidine."""
    parent = find_parent(name)
    return name if parent == "HIS" and is_foreign else parent


def _list_forms(found: Mapping[str, str]) -> Mapping[str, StatedForm]:
    forms = {key: (name, NAMES[name][1]) for key, name in found.items()}
    return {key: StatedForm(name, form) for key, (name, form) in forms.items() if form is not None}
