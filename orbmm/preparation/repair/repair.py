"""From a structure file as deposited to whole heavy-atom chains, with a record of every change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from openmm import app, unit
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.randomness import seeded_random
from orbmm.preparation.reading.read_structure import join_few, read_structure
from orbmm.preparation.reading.source import StructureFile
from orbmm.preparation.repair.missing_residues import find_missing_residues
from orbmm.preparation.residues import UNIDENTIFIED_NAMES, is_metal, is_polymer, is_water, label_residue
from orbmm.settings.preparation import PreparationSettings


@dataclass(frozen=True)
class Repairs:
    """What was changed between the file and the repaired structure.

    models: models in the file, of which the first is used
    residues_replaced: nonstandard residues and what stands for them, {"NLE A:65": "LEU"}
    residues_removed: heterogens that were neither water, metal nor asked for, with their number
    residues_added: residues built without coordinates, such as "ACE before HIS A:3"
    atoms_added: heavy atoms built, by residue
    hydrogens_removed: hydrogens of the file, which protonation positions anew
    waters_kept: waters of the file that stay
    warnings: what the user should look at
    """

    models: int
    residues_replaced: Mapping[str, str]
    residues_removed: Mapping[str, int]
    residues_added: tuple[str, ...]
    atoms_added: Mapping[str, tuple[str, ...]]
    hydrogens_removed: int
    waters_kept: int
    warnings: tuple[str, ...]


def repair_structure(file: StructureFile, settings: PreparationSettings, seed: int) -> tuple[app.Modeller, Repairs]:
    """Heavy atoms of all that stays in the box, complete, and the record of changes.

    Missing residues inside a chain are built from the sequence in the file, those at its ends only where settings
    name them: a long floating end would be an invention.
    Raises PreparationError: file unreadable, residues named that are not there, nothing left.
    """
    fixer, models, oddities = read_structure(file)
    _keep_chains(fixer, settings.chains)
    fixer.findNonstandardResidues()
    replaced = {label_residue(residue): name for residue, name in fixer.nonstandardResidues}
    fixer.replaceNonstandardResidues()
    gone = _remove_residues(fixer, settings)
    hydrogens = _remove_hydrogens(fixer)
    _rename_waters(fixer)
    added, warnings = find_missing_residues(fixer, settings)
    fixer.findMissingAtoms()
    atoms_added = _list_missing_atoms(fixer)
    with seeded_random(seed):
        fixer.addMissingAtoms(seed=seed)
    warnings = (*oddities, *_warn_of_unidentified(gone), *warnings, *_warn_of_mirrored(fixer, atoms_added))
    removed = Counter(residue.name for residue in gone)
    waters = sum(is_water(residue) for residue in fixer.topology.residues())
    repairs = Repairs(models, replaced, dict(removed), added, atoms_added, hydrogens, waters, warnings)
    return app.Modeller(fixer.topology, fixer.positions), repairs


def _warn_of_mirrored(fixer: PDBFixer, atoms_added: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    mirrored = list_mirrored_residues(fixer.topology, fixer.positions)
    for residue in mirrored:
        if "CB" in atoms_added.get(residue, ()):
            raise PreparationError(f"{residue} lacks CB, and building it gave a D-amino acid: add CB to the file")
    return tuple(f"{residue} is a D-amino acid in the file" for residue in mirrored)


def _keep_chains(fixer: PDBFixer, wanted: tuple[str, ...]) -> None:
    if not wanted:
        return
    having = sorted({chain.id for chain in fixer.topology.chains()})
    for chain in wanted:
        if chain not in having:
            raise PreparationError(
                f"chains names '{chain}', which the structure does not have; it has {', '.join(having)}"
            )
    fixer.removeChains(chainIds=[chain for chain in having if chain not in wanted])


def _remove_residues(fixer: PDBFixer, settings: PreparationSettings) -> list[app.topology.Residue]:
    """Take out what does not stay, and return it; PDBFixer.removeHeterogens would take the metals along."""

    def stays(residue: app.topology.Residue) -> bool:
        if is_water(residue):
            return settings.keep_crystal_waters
        return is_polymer(residue) or is_metal(residue) or residue.name in settings.keep_heterogens

    having = {residue.name for residue in fixer.topology.residues()}
    for name in settings.keep_heterogens:
        if name not in having:
            raise PreparationError(f"keep_heterogens names '{name}', which the structure does not have")
    gone = [residue for residue in fixer.topology.residues() if not stays(residue)]
    if len(gone) == fixer.topology.getNumResidues():
        raise PreparationError(
            "nothing of the structure is protein, nucleic acid, water, metal or named in keep_heterogens"
        )
    _delete(fixer, gone)
    return gone


def _warn_of_unidentified(gone: list[app.topology.Residue]) -> Iterator[str]:
    names = [label_residue(residue) for residue in gone if residue.name in UNIDENTIFIED_NAMES]
    if names:
        yield (
            f"{', '.join(join_few(names))}: not identified by those who made the file, left out; "
            "give it its true name and element in the file to keep it"
        )


def _remove_hydrogens(fixer: PDBFixer) -> int:
    """Hydrogens and deuterium go, except from kept heterogens, for which no rule could place them again."""
    hydrogens = [
        atom
        for atom in fixer.topology.atoms()
        if atom.element is not None
        and atom.element.atomic_number == 1
        and (is_polymer(atom.residue) or is_water(atom.residue))
    ]
    _delete(fixer, hydrogens)
    return len(hydrogens)


def _list_missing_atoms(fixer: PDBFixer) -> dict[str, tuple[str, ...]]:
    missing: dict[str, tuple[str, ...]] = {}
    for residue, atoms in fixer.missingAtoms.items():
        missing[label_residue(residue)] = tuple(atom.name for atom in atoms)
    for residue, names in fixer.missingTerminals.items():
        missing[label_residue(residue)] = missing.get(label_residue(residue), ()) + tuple(names)
    return missing


def _delete(fixer: PDBFixer, gone: list) -> None:
    modeller = app.Modeller(fixer.topology, fixer.positions)
    modeller.delete(gone)
    fixer.topology, fixer.positions = modeller.topology, modeller.positions


def _rename_waters(fixer: PDBFixer) -> None:
    for residue in fixer.topology.residues():
        if is_water(residue):
            residue.name = "HOH"
            next(residue.atoms()).name = "O"


def list_mirrored_residues(topology: app.Topology, positions: unit.Quantity) -> tuple[str, ...]:
    """The residues whose CB is on the side of a D-amino acid, such as "ALA A:7".

    Left-handed is (N - CA) x (C - CA) . (CB - CA) > 0: seen from the hydrogen, CO, R and N follow each other clockwise.
    """
    positions = np.array(positions.value_in_unit(unit.angstrom))
    mirrored = []
    for residue in topology.residues():
        atoms = {atom.name: positions[atom.index] for atom in residue.atoms()}
        if not is_polymer(residue) or not {"N", "CA", "C", "CB"} <= atoms.keys():
            continue
        to_nitrogen, to_carbonyl, to_beta = (atoms[name] - atoms["CA"] for name in ("N", "C", "CB"))
        if np.cross(to_nitrogen, to_carbonyl) @ to_beta < 0:
            mirrored.append(label_residue(residue))
    return tuple(mirrored)
