"""Take the ligands that settings name out of a structure, so that its repair does not touch them."""

from __future__ import annotations

from collections.abc import Iterable

from openmm import app
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.reading.stated_bonds import StatedBond
from orbmm.preparation.residues import CAP_NAMES, is_metal, is_polymer, is_water, key_residue, label_residue
from orbmm.settings.preparation import LigandSettings


def is_named(residue: app.topology.Residue, ligand: LigandSettings) -> bool:
    """Return True if settings mean this residue: by its name alone, or by name, chain and number."""
    return ligand.residue in (residue.name, label_residue(residue))


def take_ligands(fixer: PDBFixer, ligands: Iterable[LigandSettings], bonds: Iterable[StatedBond]) -> app.Modeller:
    """Return the named residues with their places; the fixer keeps the rest.

    Raises PreparationError for one that is part of a protein or nucleic acid, water, a metal, or bonded to a residue.
    """
    ligands = tuple(ligands)
    taken = [residue for residue in fixer.topology.residues() if any(is_named(residue, each) for each in ligands)]
    for residue in taken:
        if is_polymer(residue) or is_water(residue) or is_metal(residue):
            kind = "a cap" if residue.name in CAP_NAMES else "part of a protein or nucleic acid, water or a metal"
            raise PreparationError(f"{label_residue(residue)} is {kind}, which stays anyway: it is no ligand")
        _refuse_bonds(residue, fixer.topology, bonds)
    kept, rest = (app.Modeller(fixer.topology, fixer.positions) for _ in range(2))
    if taken:
        kept.delete([residue for residue in fixer.topology.residues() if residue not in set(taken)])
        rest.delete(taken)
        fixer.topology, fixer.positions = rest.topology, rest.positions
    else:
        kept.delete(list(fixer.topology.residues()))
    return kept


def _refuse_bonds(residue: app.topology.Residue, topology: app.Topology, bonds: Iterable[StatedBond]) -> None:
    """Raise PreparationError where the file states a bond of a ligand to anything but a metal or water."""
    others = {key_residue(other): other for other in topology.residues()}
    for bond in bonds:
        ends = {bond.first.residue, bond.second.residue}
        if key_residue(residue) not in ends or bond.to_copy:
            continue
        other = next((others[end] for end in ends - {key_residue(residue)} if end in others), None)
        if other is not None and not (is_metal(other) or is_water(other)):
            raise PreparationError(
                f"{bond.record} bonds {label_residue(residue)} to {label_residue(other)}: a ligand that is bonded to "
                "another residue cannot be prepared yet; take that record out of the file if there is no such bond"
            )
