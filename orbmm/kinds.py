"""Kinds of atoms and residues by what they are made of: waters, ions, heavy atoms, amino acids; names come second."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mdtraj as md

HYDROGENS = ("H", "D")
VIRTUAL = "VS"
NON_METALS = frozenset(["H", "D", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Se", "Br", "I"])
"""Elements whose bonds are watched; a bond to a metal may come and go."""
BACKBONE = ("N", "CA", "C", "O")
_WATER_NAMES = frozenset([
    "DOD", "D2O", "H2O", "HOH", "OHH", "HHO", "OH2", "WAT", "SOL", "WTR", "TIP", "TIP2", "TIP3", "TIP4",
    "TIP5", "TIP3P", "TIP4P", "TIP5P", "TP3", "TP4", "TP5", "T3P", "T4P", "T5P", "T3H", "SPC", "SPCE", "SPE",
    "OPC", "OPC3",
])  # fmt: skip
_IONS = {
    "LIT": "Li", "SOD": "Na", "POT": "K", "RUB": "Rb", "CES": "Cs", "CLA": "Cl", "CLO": "Cl", "CHL": "Cl", "BRO": "Br",
    "IOD": "I", "FLU": "F", "CAL": "Ca", "MAG": "Mg", "ZIN": "Zn", "CAD": "Cd", "BAR": "Ba", "STR": "Sr", "C0": "Ca",
}  # fmt: skip
"""Names of ions in force fields that are not their element's symbol."""
_ION_SYMBOLS = frozenset([
    "Li", "Na", "K", "Rb", "Cs", "F", "Cl", "Br", "I", "Be", "Mg", "Ca", "Sr", "Ba", "Al", "Cr", "Mn", "Fe",
    "Co", "Ni", "Cu", "Zn", "Ag", "Cd", "Pt", "Au", "Hg", "Tl", "Pb", "La", "Eu", "Gd", "Tb", "Yb",
])  # fmt: skip
_SALT = frozenset(["Li", "Na", "K", "Rb", "Cs", "F", "Cl", "Br", "I"])
"""Elements whose ions are those of a salt; other ions, such as zinc and calcium, belong to the solute."""
PARENTS = {
    **dict.fromkeys(("HID", "HIE", "HIP", "HSD", "HSE", "HSP", "HISD", "HISE", "HISH", "HISA", "HISB"), "HIS"),
    **dict.fromkeys(("CYX", "CYM", "CYS2", "CYSH", "CYN", "CSO", "CSD", "OCS", "CME"), "CYS"),
    **dict.fromkeys(("ASH", "ASPH", "ASPP"), "ASP"),
    **dict.fromkeys(("GLH", "GLUH", "GLUP"), "GLU"),
    **dict.fromkeys(("LYN", "LYSN", "LSN", "LYSH", "MLY", "M3L", "MLZ", "ALY"), "LYS"),
    "MSE": "MET",
    "SEP": "SER",
    "TPO": "THR",
    "PTR": "TYR",
    "HYP": "PRO",
}
"""What force fields call a residue by its protons, and modified residues: the amino acid that each one is."""


def find_parent(name: str) -> str:
    """Return the amino acid of a residue's name: HIS for HID, HSE and HIP, MET for MSE; other names as they are."""
    return PARENTS.get(name, name)


def is_hydrogen(atom: md.core.topology.Atom) -> bool:
    """Tell whether an atom is hydrogen or deuterium."""
    return atom.element.symbol in HYDROGENS


def is_heavy(atom: md.core.topology.Atom) -> bool:
    """Tell whether an atom is neither hydrogen nor a virtual site."""
    return atom.element.symbol not in (*HYDROGENS, VIRTUAL)


def is_water(residue: md.core.topology.Residue) -> bool:
    """Tell whether a residue is a water: one oxygen with two hydrogens, whatever its name, or water by its name.

    By its name alone it may lack hydrogens or have one more; virtual sites do not count.
    """
    if residue.is_water:
        return True
    if not 1 <= residue.n_atoms <= 6:
        return False
    made_of = Counter("H" if is_hydrogen(atom) else atom.element.symbol for atom in residue.atoms)
    del made_of[VIRTUAL]
    if made_of == {"O": 1, "H": 2}:
        return True
    return residue.name.upper() in _WATER_NAMES and made_of["O"] == 1 and made_of.keys() <= {"O", "H"}


def find_heavy(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms that are neither hydrogen nor a virtual site."""
    return np.array([atom.index for atom in topology.atoms if is_heavy(atom)], dtype=np.int64)


def mark_waters(topology: md.Topology) -> NDArray[np.bool_]:
    """Return for each atom (N,) whether it belongs to a water."""
    marks = [(is_water(residue), residue.n_atoms) for residue in topology.residues]
    return np.repeat(
        np.array([mark for mark, _ in marks], dtype=bool), np.array([size for _, size in marks], dtype=np.int64)
    )


def find_waters(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of the waters."""
    return np.flatnonzero(mark_waters(topology))


def find_water_oxygens(topology: md.Topology) -> NDArray[np.int64]:
    """Return the oxygen of each water."""
    waters = find_waters(topology)
    return np.array([i for i in waters.tolist() if topology.atom(i).element.symbol == "O"], dtype=np.int64)


def find_ion_symbol(residue: md.core.topology.Residue) -> str | None:
    """Return the element of a residue of one atom that is named as an ion (SOD, NA+, ZN2, CA); None for any other."""
    if residue.n_atoms != 1:
        return None
    name = residue.name.upper()
    plain = name.rstrip("+-0123456789").capitalize()
    return _IONS.get(name) or (plain if plain in _ION_SYMBOLS else None)


def is_salt(residue: md.core.topology.Residue) -> bool:
    """Tell whether a residue is an alkali metal or halide ion, by its name or element."""
    if residue.n_atoms != 1:
        return False
    return find_ion_symbol(residue) in _SALT or residue.atom(0).element.symbol in _SALT


def find_solute(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of the solute: neither water nor the ions of a salt; metals and small molecules belong to it."""
    inside = [residue for residue in topology.residues if not is_water(residue) and not is_salt(residue)]
    return np.array([atom.index for residue in inside for atom in residue.atoms], dtype=np.int64)


def is_amino_acid(residue: md.core.topology.Residue) -> bool:
    """Tell whether a residue is part of a protein: by its name, or by N, CA, C and O, as a modified one has."""
    return bool(residue.is_protein) or has_backbone(residue)


def has_backbone(residue: md.core.topology.Residue) -> bool:
    """Tell whether a residue has N, CA, C and O."""
    return set(BACKBONE) <= {atom.name for atom in residue.atoms}


def find_backbone(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms N, CA, C and O of the amino acids."""
    chosen = [
        atom.index
        for residue in topology.residues
        if is_amino_acid(residue)
        for atom in residue.atoms
        if atom.name in BACKBONE
    ]
    return np.array(chosen, dtype=np.int64)
