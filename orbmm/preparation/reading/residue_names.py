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

    HIP is phosphohistidine in the Protein Data Bank: with a phosphorus atom it states nothing.
    """
    return _rename_in_pdb(file) if file.kind == "pdb" else _rename_in_cif(file)


def _rename_in_pdb(file: StructureFile) -> tuple[StructureFile, Mapping[str, StatedForm]]:
    lines = file.text.splitlines()
    found: dict[str, str] = {}
    with_phosphorus = {read_key(line) for line in lines if is_atom(line) and line[12:16].strip() == "P"}
    for at, line in enumerate(lines):
        name = line[17:21].strip()
        if line.startswith(("ATOM", "HETATM", "ANISOU", "TER")) and find_parent(name) != name:
            if is_atom(line):
                found.setdefault(read_key(line), name)
            lines[at] = f"{line[:17]}{find_parent(name):>3s} {line[21:]}"
    if not found:
        return file, {}
    return dataclasses.replace(file, text="\n".join(lines) + "\n"), _list_forms(found, with_phosphorus)


def _rename_in_cif(file: StructureFile) -> tuple[StructureFile, Mapping[str, StatedForm]]:
    site = open_atom_site(file)
    found: dict[str, str] = {}
    with_phosphorus = set()
    for index, row in enumerate(site.read_rows()):
        name = row.get("label_comp_id", "")
        if row.get("label_atom_id") == "P":
            with_phosphorus.add(read_author_key(row))
        if find_parent(name) != name:
            found.setdefault(read_author_key(row), name)
            site.set_value(index, "label_comp_id", find_parent(name))
            site.set_value(index, "auth_comp_id", find_parent(name))
    if not found:
        return file, {}
    return dataclasses.replace(file, text=site.format_text()), _list_forms(found, with_phosphorus)


def _list_forms(found: Mapping[str, str], with_phosphorus: set[str]) -> Mapping[str, StatedForm]:
    forms = {key: (name, NAMES[name][1]) for key, name in found.items() if key not in with_phosphorus}
    return {key: StatedForm(name, form) for key, (name, form) in forms.items() if form is not None}
