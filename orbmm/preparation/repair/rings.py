"""Cyclic peptides: a chain whose last C is bonded to its first N has no ends."""

from __future__ import annotations

import numpy as np
from openmm import app, unit
from pdbfixer import PDBFixer

from orbmm.preparation.residues import label_residue

_LONGEST_BOND_ANGSTROM = 2.0
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
    return (first["N"], last["C"]) if np.linalg.norm(ends[1] - ends[0]) <= _LONGEST_BOND_ANGSTROM else None


def _end_places(chain: app.topology.Chain) -> set[tuple[int, int]]:
    return {(chain.index, 0), (chain.index, len(list(chain.residues())))}
