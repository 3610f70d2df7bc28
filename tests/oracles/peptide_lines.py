"""Extended peptides as lines of a PDB file, from internal coordinates alone; shares no code with orbmm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Atom, atoms before it (the last is bonded), bond [Å], angle and dihedral [degrees]; "-" marks the residue before.
# Lengths and angles: Engh and Huber (1991); phi = -120, psi = 130, omega = 180.
_BACKBONE = (
    ("N", ("-N", "-CA", "-C"), 1.329, 116.2, 130.0),
    ("CA", ("-CA", "-C", "N"), 1.458, 121.7, 180.0),
    ("C", ("-C", "N", "CA"), 1.525, 111.0, -120.0),
    ("O", ("N", "CA", "C"), 1.231, 120.5, -50.0),
    ("CB", ("C", "N", "CA"), 1.530, 110.4, -122.0),
)
_CIF_NAMES = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
    "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "auth_seq_id",
    "auth_comp_id", "auth_asym_id", "pdbx_PDB_model_num",
)  # fmt: skip
Atom = tuple[int, str, str, np.ndarray]  # number, residue, name, position [Å]


def build_peptide(residues: Sequence[str], first: int = 1) -> list[Atom]:
    """N, CA, C, O and CB of L-amino acids, without CB for GLY, and OXT at the end."""
    start = {"N": (0.0, 0.0, 0.0), "CA": (1.458, 0.0, 0.0), "C": (2.0045, 1.4237, 0.0)}
    known = {f"{number}{name}": np.array(place) for number in (first,) for name, place in start.items()}
    atoms = []
    for number, residue in enumerate(residues, start=first):
        for name, before, bond, angle, dihedral in _BACKBONE:
            if f"{number}{name}" not in known:
                at = [known[f"{number - 1}{a[1:]}" if a[0] == "-" else f"{number}{a}"] for a in before]
                known[f"{number}{name}"] = _place(at, bond, np.radians(angle), np.radians(dihedral))
            if (name, residue) != ("CB", "GLY"):
                atoms.append((number, residue, name, known[f"{number}{name}"]))
    last = [known[f"{number}{name}"] for name in ("N", "CA", "C")]
    atoms.append((number, residue, "OXT", _place(last, 1.25, np.radians(117.0), np.radians(130.0))))
    return atoms


def turn_over(atoms: list[Atom], point: np.ndarray) -> list[Atom]:
    """The same molecule turned by half a turn around an axis along z through a point."""
    turn = np.diag([-1.0, -1.0, 1.0])
    return [(number, residue, name, turn @ (place - point) + point) for number, residue, name, place in atoms]


def format_lines(atoms: Sequence[Atom], chain: str = "A", record: str = "ATOM  ", serial: int = 1) -> list[str]:
    """ATOM lines; a residue of four letters takes column 21 too."""
    return [
        f"{record}{at:5d}  {name:<3s} {residue:>3s}{'' if len(residue) > 3 else ' '}{chain}{number:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {name[0]:>2s}"
        for at, (number, residue, name, (x, y, z)) in enumerate(atoms, start=serial)
    ]


def format_cif(lines: Sequence[str], label: str, tables: str = "") -> str:
    """An mmCIF of atom lines; label: the label of the chain, whose author's name is that of the lines."""
    rows = [
        f"{line[:6].strip()} {line[6:11].strip()} {line[76:78].strip()} {line[12:16].strip()} . {line[17:21].strip()} "
        f"{label if line.startswith('ATOM') else label + 'x'} 1 {line[22:26].strip()} ? {line[30:38].strip()} "
        f"{line[38:46].strip()} {line[46:54].strip()} {line[22:26].strip()} {line[17:21].strip()} {line[21]} 1"
        for line in lines
    ]
    return "\n".join(["data_X", tables, "loop_", *(f"_atom_site.{name}" for name in _CIF_NAMES), *rows, "#", ""])


def _place(before: Sequence[np.ndarray], bond: float, angle: float, dihedral: float) -> np.ndarray:
    first, second, third = before
    along = (third - second) / np.linalg.norm(third - second)
    normal = np.cross(second - first, along)
    normal /= np.linalg.norm(normal)
    local = np.array([-np.cos(angle), np.sin(angle) * np.cos(dihedral), np.sin(angle) * np.sin(dihedral)])
    return third + bond * local @ np.stack([along, np.cross(normal, along), normal])
