"""From a structure file as deposited to whole heavy-atom chains, with a record of every change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openmm import app
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.library_calls import explain_errors, seeded_random
from orbmm.preparation.reading.read_structure import Reading, join_few, read_structure
from orbmm.preparation.reading.residue_names import StatedForm
from orbmm.preparation.reading.source import StructureFile
from orbmm.preparation.repair.bonds import bond_rings, close_rings, keep_stated_bonds
from orbmm.preparation.repair.breaks import (
    check_polymer_bonds,
    end_polymers,
    refuse_scattered_residues,
    refuse_unknown_members,
    split_at_gaps,
)
from orbmm.preparation.repair.chirality import correct_built_residues, list_places
from orbmm.preparation.repair.ligands import take_ligands
from orbmm.preparation.repair.missing_residues import find_missing_residues, name_standard_residues
from orbmm.preparation.residues import UNIDENTIFIED_NAMES, is_metal, is_polymer, is_water, label_residue
from orbmm.settings.preparation import PreparationSettings


@dataclass(frozen=True)
class Repairs:
    """The changes between the file and the repaired structure.

    models: models in the file, of which the first is used
    chains_removed: what a choice of chains takes out, such as "B: 120 residues, ZN B:262, 80 waters"
    residues_replaced: nonstandard residues and what stands for them, {"NLE A:65": "LEU"}
    residues_removed: heterogens that were neither water, metal nor asked for, with their number
    residues_added: residues built without coordinates, such as "ACE before HIS A:3"
    atoms_added: heavy atoms built, by residue
    hydrogens_removed: hydrogens of the file, which protonation positions anew
    waters_kept: waters of the file that stay
    warnings: what the user should look at
    """

    models: int
    chains_removed: tuple[str, ...]
    residues_replaced: Mapping[str, str]
    residues_removed: Mapping[str, int]
    residues_added: tuple[str, ...]
    atoms_added: Mapping[str, tuple[str, ...]]
    hydrogens_removed: int
    waters_kept: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RepairedStructure:
    """Complete heavy-atom chains, the record of changes, and what the names of residues said of their protonation.

    ligands: residues that settings name as ligands, as they are in the file and apart from the rest
    forms: by residue, such as "A:64"
    """

    modeller: app.Modeller
    ligands: app.Modeller
    repairs: Repairs
    forms: Mapping[str, StatedForm]


def repair_structure(file: StructureFile, settings: PreparationSettings, seed: int) -> RepairedStructure:
    """Complete the heavy atoms of all that stays in the box, and record the changes.

    Missing residues inside a chain are built from the sequence in the file, those at its ends only where settings
    name them: a long floating end would be an invention. A gap for which nothing is built ends the chain.
    Raises PreparationError: file unreadable, residues named that are not there, nothing left, a chain that is not
    whole after repair.
    """
    reading = read_structure(file)
    with explain_errors(f"{file.origin} cannot be repaired"):
        return _repair(reading, settings, seed)


def _repair(reading: Reading, settings: PreparationSettings, seed: int) -> RepairedStructure:
    fixer = reading.fixer
    chains_removed = _keep_chains(fixer, settings.chains)
    ligands = take_ligands(fixer, settings.ligand, reading.bonds)
    fixer.findNonstandardResidues()
    replaced = {label_residue(residue): name for residue, name in fixer.nonstandardResidues}
    name_standard_residues(fixer)
    fixer.replaceNonstandardResidues()
    gone = _remove_residues(fixer, settings) if fixer.topology.getNumResidues() else []
    hydrogens = _remove_hydrogens(fixer)
    _rename_waters(fixer)
    refuse_scattered_residues(fixer)
    end_polymers(fixer)
    added, of_sequence = find_missing_residues(fixer, settings)
    of_gaps = split_at_gaps(fixer)
    atoms_added, of_building = _build_missing(fixer, seed)
    check_polymer_bonds(fixer.topology, fixer.positions, "after repair")
    of_bonds = keep_stated_bonds(fixer, reading.bonds)
    warnings = (*reading.warnings, *_warn_of_unidentified(gone), *of_sequence, *of_gaps, *of_bonds, *of_building)
    repairs = Repairs(
        models=reading.models,
        chains_removed=chains_removed,
        residues_replaced=replaced,
        residues_removed=dict(Counter(residue.name for residue in gone)),
        residues_added=added,
        atoms_added=atoms_added,
        hydrogens_removed=hydrogens,
        waters_kept=sum(is_water(residue) for residue in fixer.topology.residues()),
        warnings=warnings,
    )
    return RepairedStructure(app.Modeller(fixer.topology, fixer.positions), ligands, repairs, reading.forms)


def _build_missing(fixer: PDBFixer, seed: int) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Build missing atoms; return them by residue, and sentences on rings and on residues mirrored in the file."""
    fixer.findMissingAtoms()
    of_rings = close_rings(fixer)
    atoms_added = _list_missing_atoms(fixer)
    given = list_places(fixer)
    with seeded_random(seed):
        fixer.addMissingAtoms(seed=seed)
        of_mirrored = correct_built_residues(fixer, given, atoms_added, seed)
    bond_rings(fixer)
    return atoms_added, (*of_rings, *of_mirrored)


def _keep_chains(fixer: PDBFixer, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Take out all chains that are not wanted, and say of each what goes with it."""
    if not wanted:
        return ()
    having = sorted({chain.id for chain in fixer.topology.chains()})
    for chain in wanted:
        if chain not in having:
            raise PreparationError(
                f"chains names '{chain}', which the structure does not have; it has {', '.join(having)}"
            )
    gone = [chain for chain in having if chain not in wanted]
    described = tuple(_describe_chain(fixer.topology, chain) for chain in gone)
    fixer.removeChains(chainIds=gone)
    return described


def _describe_chain(topology: app.Topology, name: str) -> str:
    """Say what a chain holds, such as "B: 120 residues, ZN B:262, 3 SO4, 80 waters"."""
    residues = [residue for chain in topology.chains() if chain.id == name for residue in chain.residues()]
    polymers, waters = sum(map(is_polymer, residues)), sum(map(is_water, residues))
    others = Counter(
        residue.name for residue in residues if not (is_polymer(residue) or is_water(residue) or is_metal(residue))
    )
    parts = [f"{polymers} residues"] if polymers else []
    parts += [label_residue(residue) for residue in residues if is_metal(residue)]
    parts += [f"{count} {other}" for other, count in others.items()]
    parts += [f"{waters} waters"] if waters else []
    return f"{name}: {', '.join(parts)}"


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
    refuse_unknown_members(fixer, gone)
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
