"""Check bonds of the repaired structure: those that the file states are there, and none runs through a ring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from openmm import app, unit
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.reading.stated_bonds import BondEnd, StatedBond
from orbmm.preparation.residues import is_metal, is_polymer, is_water, key_residue, label_residue

_LONGEST_BOND_ANGSTROM = 2.5
_LONGEST_DISULFIDE_ANGSTROM = 3.5  # of a model before refinement; 2.05 Å afterwards


def keep_stated_bonds(fixer: PDBFixer, bonds: Iterable[StatedBond]) -> tuple[str, ...]:
    """Add each disulfide that the file states, and return a sentence on each bond that cannot be kept.

    Bonds of metals are left to the distances at the metal.
    Raises PreparationError for any other bond between residues that stay which the topology lacks.
    """
    atoms: dict[BondEnd, app.topology.Atom] = {}
    for atom in fixer.topology.atoms():
        atoms.setdefault(BondEnd(key_residue(atom.residue), atom.name), atom)
    residues = {key_residue(residue): residue for residue in reversed(list(fixer.topology.residues()))}
    positions = np.array(fixer.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    sentences = []
    for bond in bonds:
        ends = [residues.get(end.residue) for end in (bond.first, bond.second)]
        if any(residue is not None and (is_metal(residue) or is_water(residue)) for residue in ends):
            continue
        lost = _find_loss(bond, atoms, ends)
        if lost:
            sentences.append(lost)
        elif bond.first in atoms and bond.second in atoms:
            sentences.extend(_keep_bond(fixer, bond, atoms[bond.first], atoms[bond.second], positions))
    return tuple(dict.fromkeys(sentences))


def _find_loss(bond: StatedBond, atoms: dict[BondEnd, app.topology.Atom], ends: list) -> str | None:
    """Say which end of a bond is not there; a bond of which both ends are gone needs no word."""
    gone = [end for end in (bond.first, bond.second) if end not in atoms]
    if len(gone) == 2:
        return None
    first, second = (_name_end(end, residue) for end, residue in zip((bond.first, bond.second), ends, strict=True))
    if bond.to_copy:
        return f"{bond.record} joins {first} to {second} of a copy in the crystal, which is not built: not bonded"
    if gone:
        left = first if gone[0] == bond.first else second
        stays = second if gone[0] == bond.first else first
        return f"{bond.record} joins {stays} to {left}, which is not in the box: this bond is lost"
    return None


def _keep_bond(
    fixer: PDBFixer, bond: StatedBond, first: app.topology.Atom, second: app.topology.Atom, positions: np.ndarray
) -> Iterator[str]:
    """Yield a sentence where the atoms are too far apart to be bonded."""
    if any({first, second} == {other.atom1, other.atom2} for other in fixer.topology.bonds()):
        return
    distance = float(np.linalg.norm(positions[second.index] - positions[first.index]))
    disulfide = first.name == second.name == "SG"
    ends = f"{first.name} of {label_residue(first.residue)} and {second.name} of {label_residue(second.residue)}"
    if distance > (_LONGEST_DISULFIDE_ANGSTROM if disulfide else _LONGEST_BOND_ANGSTROM):
        yield f"{bond.record} joins {ends}, which are {distance:.2f} Å apart: not bonded"
    elif disulfide or not (is_polymer(first.residue) and is_polymer(second.residue)):
        fixer.topology.addBond(first, second)
    else:
        raise PreparationError(
            f"{bond.record} joins {ends}; the classical force field amber14 has no such bond: "
            "take the record out of the file to have it broken"
        )


def _name_end(end: BondEnd, residue: app.topology.Residue | None) -> str:
    return f"{end.atom} of {end.residue if residue is None else label_residue(residue)}"


_LONGEST_RING_BOND_ANGSTROM = 2.0
_LEAST_RESIDUES = 3


def close_rings(fixer: PDBFixer) -> tuple[str, ...]:
    """Bond the ends of each chain that are as near as a bond is long, and return a sentence on each.

    Call it between findMissingAtoms, whose terminal oxygen is left out, and addMissingAtoms.
    """
    sentences = []
    for chain in fixer.topology.chains():
        ends = find_ring(chain, fixer.positions)
        if ends is not None and not fixer.missingResidues.keys() & _end_places(chain):
            first, last = (atom.residue for atom in ends)
            fixer.missingTerminals.pop(last, None)
            sentences.append(f"{label_residue(first)} and {label_residue(last)} are bonded: a cyclic peptide")
    return tuple(sentences)


def bond_rings(fixer: PDBFixer) -> None:
    """Add the bonds that close rings to a repaired topology."""
    for chain in fixer.topology.chains():
        ends = find_ring(chain, fixer.positions)
        if ends is not None and not any(set(ends) == {bond.atom1, bond.atom2} for bond in fixer.topology.bonds()):
            fixer.topology.addBond(*ends)


def find_ring(
    chain: app.topology.Chain, positions: unit.Quantity
) -> tuple[app.topology.Atom, app.topology.Atom] | None:
    """Return N of the first and C of the last residue where they are bonded, None where the chain has ends."""
    residues = list(chain.residues())
    if len(residues) < _LEAST_RESIDUES:
        return None
    first = {atom.name: atom for atom in residues[0].atoms()}
    last = {atom.name: atom for atom in residues[-1].atoms()}
    if not ({"N", "CA", "C"} <= first.keys() and {"N", "CA", "C"} <= last.keys()) or "OXT" in last:
        return None
    ends = [np.array(positions[atom.index].value_in_unit(unit.angstrom)) for atom in (first["N"], last["C"])]
    return (first["N"], last["C"]) if np.linalg.norm(ends[1] - ends[0]) <= _LONGEST_RING_BOND_ANGSTROM else None


def _end_places(chain: app.topology.Chain) -> set[tuple[int, int]]:
    return {(chain.index, 0), (chain.index, len(list(chain.residues())))}
