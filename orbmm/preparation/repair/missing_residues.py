"""Residues that a structure file leaves out: which are built, and which are only spoken of."""

from __future__ import annotations

from collections.abc import Mapping

from openmm import app
from pdbfixer import PDBFixer
from pdbfixer.pdbfixer import substitutions

from orbmm.errors import PreparationError
from orbmm.preparation.residues import find_residue, is_polymer, label_residue
from orbmm.settings.preparation import PreparationSettings

# A place is PDBFixer's key: (index of the chain, index in the chain of the residue that comes after).
Places = Mapping[tuple[int, int], list[str]]


def find_missing_residues(fixer: PDBFixer, settings: PreparationSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fill fixer.missingResidues, and return what will be added and what the user should look at.

    Gaps inside a chain are filled from the sequence in the file. Its ends are extended only where settings say so:
    a long floating end would be an invention.
    """
    fixer.findMissingResidues()
    ends = {(chain.index, end) for chain in fixer.topology.chains() for end in (0, len(list(chain.residues())))}
    left_out = {place: names for place, names in fixer.missingResidues.items() if place in ends}
    built = {place: list(names) for place, names in fixer.missingResidues.items() if place not in ends}
    for key, names in settings.insert_before.items():
        place = _find_place(fixer.topology, key, "insert_before")
        built[place] = _read_names(fixer, names, "insert_before")
    for key, names in settings.insert_after.items():
        chain, index = _find_place(fixer.topology, key, "insert_after")
        built[chain, index + 1] = _read_names(fixer, names, "insert_after")
    left_out = {place: names for place, names in left_out.items() if place not in built}
    _refuse_unbuildable(fixer, built)
    fixer.missingResidues = built
    added = tuple(_describe_place(fixer.topology, place, names) for place, names in built.items())
    return added, (*_warn_of_ends(fixer.topology, left_out), *_warn_of_sequence(fixer, {**built, **left_out}))


def name_standard_residues(fixer: PDBFixer) -> None:
    """Write the sequences with the standard residues that will stand for others, so that they can be compared.

    Call it after fixer.findNonstandardResidues, before the residues are replaced.
    """
    standard = substitutions | {modified.residueName: modified.standardName for modified in fixer.modifiedResidues}
    standard |= {residue.name: name for residue, name in fixer.nonstandardResidues}
    standard = {name: parent for name, parent in standard.items() if parent in fixer.templates}
    for sequence in fixer.sequences:
        sequence.residues = [
            name if name in fixer.templates else standard.get(name, name) for name in sequence.residues
        ]


def _refuse_unbuildable(fixer: PDBFixer, built: Places) -> None:
    for place, names in built.items():
        for name in names:
            if name not in fixer.templates:
                raise PreparationError(
                    f"the file's sequence has {_describe_place(fixer.topology, place, names)} without coordinates, and "
                    f"{name} cannot be built: add {name} to the file, or name other residues under insert_before"
                )


def _find_place(topology: app.Topology, key: str, setting: str) -> tuple[int, int]:
    residue = find_residue(topology, key, setting)
    return residue.chain.index, list(residue.chain.residues()).index(residue)


def _read_names(fixer: PDBFixer, names: str, setting: str) -> list[str]:
    for name in names.split():
        if name not in fixer.templates:
            raise PreparationError(
                f"{setting} names residue '{name}', which cannot be built; known: {', '.join(sorted(fixer.templates))}"
            )
    return names.split()


def _describe_place(topology: app.Topology, place: tuple[int, int], names: list[str]) -> str:
    residues = list(list(topology.chains())[place[0]].residues())
    if place[1] < len(residues):
        return f"{' '.join(names)} before {label_residue(residues[place[1]])}"
    return f"{' '.join(names)} after {label_residue(residues[-1])}"


def _warn_of_ends(topology: app.Topology, left_out: Places) -> list[str]:
    return [
        f"the file's sequence has {_describe_place(topology, place, names)}, but no coordinates of them: left out; "
        "name them under insert_before or insert_after to have them built"
        for place, names in left_out.items()
    ]


def _warn_of_sequence(fixer: PDBFixer, placed: Places) -> list[str]:
    """PDBFixer says nothing where it cannot match sequence and numbering: count the residues instead."""
    warnings = []
    for sequence in fixer.sequences:
        chains = [chain for chain in fixer.topology.chains() if chain.id == sequence.chainId]
        indices = {chain.index for chain in chains}
        present = sum(is_polymer(residue) for chain in chains for residue in chain.residues())
        known = sum(len(names) for place, names in placed.items() if place[0] in indices)
        if 0 < present + known < len(sequence.residues):
            warnings.append(
                f"chain {sequence.chainId} has {present} residues and the file's sequence {len(sequence.residues)}, "
                "and they could not be matched: name what is missing under insert_before or insert_after"
            )
    return warnings
