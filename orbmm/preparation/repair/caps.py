"""Caps of an amino acid that is alone between two gaps, in ideal geometry: PDBFixer has no angles to build them by."""

from __future__ import annotations

import numpy as np
from openmm import Vec3, app, unit
from pdbfixer import PDBFixer
from pdbfixer.pdbfixer import proteinResidues

from orbmm.preparation.capped_peptide import place_atom
from orbmm.preparation.residues import label_residue

# Atom, the atoms by which it is placed (":" marks those of the residue itself), bond [Å], angle, dihedral [degrees].
# Engh and Huber, Acta Cryst. A47, 392 (1991); peptide bonds are trans. The dihedral of the first atom is chosen.
_ACETYL = (
    ("C", ("C:", "CA:", "N:"), 1.329, 121.7, None),
    ("O", ("CA:", "N:", "C"), 1.231, 123.0, 0.0),
    ("CH3", ("CA:", "N:", "C"), 1.516, 116.2, 180.0),
)
_METHYLAMIDE = (
    ("N", ("N:", "CA:", "C:"), 1.329, 116.2, None),
    ("C", ("CA:", "C:", "N"), 1.458, 121.7, 180.0),
)
_PHI = range(-160, -50, 10)  # degrees, of common backbones

Atoms = dict[str, np.ndarray]


def cap_lone_residues(fixer: PDBFixer, lone: set[int]) -> tuple[str, ...]:
    """Add ACE and NME to residues with these indices, and return a sentence on each.

    The force field has no amino acid that is both the first and the last of its chain.
    """
    topology, atoms = app.Topology(), {}
    places: list[np.ndarray] = []
    topology.setPeriodicBoxVectors(fixer.topology.getPeriodicBoxVectors())
    positions = np.array(fixer.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    sentences = []
    for chain in fixer.topology.chains():
        new_chain = topology.addChain(chain.id)
        for residue in chain.residues():
            own = {atom.name: positions[atom.index] for atom in residue.atoms()}
            capped = residue.index in lone and residue.name in proteinResidues and {"N", "CA", "C", "O"} <= own.keys()
            if capped:
                _add_cap(
                    topology.addResidue("ACE", new_chain, str(int(residue.id) - 1)),
                    _build(_ACETYL, own, positions),
                    places,
                )
            new_residue = topology.addResidue(residue.name, new_chain, residue.id, residue.insertionCode)
            for atom in residue.atoms():
                atoms[atom] = topology.addAtom(atom.name, atom.element, new_residue, atom.id, atom.formalCharge)
                places.append(positions[atom.index])
            if capped:
                _add_cap(
                    topology.addResidue("NME", new_chain, str(int(residue.id) + 1)),
                    _build(_METHYLAMIDE, own, positions),
                    places,
                )
                sentences.append(f"{label_residue(residue)} is alone beside a gap: capped with ACE and NME")
    for bond in fixer.topology.bonds():
        topology.addBond(atoms[bond.atom1], atoms[bond.atom2], bond.type, bond.order)
    if sentences:
        fixer.topology, fixer.positions = topology, [Vec3(*place) * 0.1 for place in places] * unit.nanometer
    return tuple(sentences)


def _add_cap(residue: app.topology.Residue, cap: Atoms, places: list[np.ndarray]) -> None:
    for name, place in cap.items():
        residue.chain.topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
        places.append(place)


def _build(cap: tuple, own: Atoms, positions: np.ndarray) -> Atoms:
    """The cap at the angle at which its atoms are farthest from all others; N of an amide has its place by O."""
    if cap is _METHYLAMIDE:
        return _place_all(cap, own, _measure_dihedral(own["N"], own["CA"], own["C"], own["O"]) + 180.0)
    from_own = np.linalg.norm(positions[:, None] - np.array(list(own.values()))[None], axis=2).min(axis=1)
    others = positions[from_own > 0.0]
    built = [_place_all(cap, own, float(phi)) for phi in _PHI]
    return max(built, key=lambda atoms: _find_least_distance(np.array(list(atoms.values())), others))


def _place_all(cap: tuple, own: Atoms, first_dihedral: float) -> Atoms:
    built: Atoms = {}
    for name, references, bond, angle, dihedral in cap:
        before = [own[at[:-1]] if at.endswith(":") else built[at] for at in references]
        turn = first_dihedral if dihedral is None else dihedral
        built[name] = place_atom(before, bond, np.radians(angle), np.radians(turn))
    return built


def _find_least_distance(built: np.ndarray, others: np.ndarray) -> float:
    if len(others) == 0:
        return 0.0
    return float(np.linalg.norm(built[:, None] - others[None], axis=2).min())


def _measure_dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """The dihedral angle of four points [degrees], IUPAC's sign."""
    first, middle, last = b - a, c - b, d - c
    normal, other = np.cross(first, middle), np.cross(middle, last)
    return float(np.degrees(np.arctan2(np.linalg.norm(middle) * first @ other, normal @ other)))
