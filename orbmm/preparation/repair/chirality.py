"""Check the chirality of amino acids; those that were built with the wrong one are built again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from openmm import Vec3, app, unit
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.capped_peptide import place_atom
from orbmm.preparation.residues import is_polymer, label_residue

_CENTER = ("N", "CA", "C", "CB")
_LEAST_VOLUME_CUBIC_ANGSTROM = 1.5  # of a built residue; a flatter one may turn over in the relaxation
# The atoms by which each neighbour of CA is placed, and its bond [Å]; angle and dihedral [degrees] never differ.
_PLACED_BY = {"CB": ("C", "N", 1.530), "N": ("CB", "C", 1.458), "C": ("N", "CB", 1.525)}
_ANGLE, _DIHEDRAL = 110.4, -122.0
_HEIGHT_NM = 0.049  # of CA above the plane of these three
_BACKBONE = frozenset({"N", "CA", "C", "O", "OXT"})


def list_mirrored_residues(topology: app.Topology, positions: unit.Quantity) -> tuple[str, ...]:
    """Return the residues whose CB is on the side of a D-amino acid, such as "ALA A:7"."""
    return tuple(label_residue(residue) for residue in find_mirrored_residues(topology, positions))


def find_mirrored_residues(topology: app.Topology, positions: unit.Quantity) -> list[app.topology.Residue]:
    """Return the residues whose CB is on the side of a D-amino acid."""
    places = np.array(positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    return [residue for residue in find_chiral_residues(topology) if _measure_volume(residue, places) < 0.0]


def find_chiral_residues(topology: app.Topology) -> Iterator[app.topology.Residue]:
    """Yield the residues that have N, CA, C and CB."""
    for residue in topology.residues():
        if is_polymer(residue) and {atom.name for atom in residue.atoms()} >= set(_CENTER):
            yield residue


def _measure_volume(residue: app.topology.Residue, places: np.ndarray) -> float:
    """Return (N - CA) x (C - CA) . (CB - CA) [Å^3], 2.5 in L-amino acids and -2.5 in D-amino acids.

    Seen from the hydrogen, CO, R and N of an L-amino acid follow each other clockwise.
    """
    atoms = {atom.name: places[atom.index] for atom in residue.atoms()}
    to_nitrogen, to_carbonyl, to_beta = (atoms[name] - atoms["CA"] for name in ("N", "C", "CB"))
    return float(np.cross(to_nitrogen, to_carbonyl) @ to_beta)


def list_places(fixer: PDBFixer) -> frozenset[tuple[float, ...]]:
    """Return where the atoms of the file are, by which they are known after others were built."""
    return frozenset(map(tuple, fixer.positions.value_in_unit(unit.nanometer)))


def correct_built_residues(
    fixer: PDBFixer, given: frozenset[tuple[float, ...]], atoms_added: Mapping[str, tuple[str, ...]], seed: int
) -> tuple[str, ...]:
    """Build flat and mirrored residues again, and return a sentence on each that is mirrored in the file.

    given: where the atoms of the file are
    Raises PreparationError where building gives a D-amino acid again.
    """
    places = np.array(fixer.positions.value_in_unit(unit.nanometer)).reshape(-1, 3)
    chiral = list(find_chiral_residues(fixer.topology))
    built = [residue for residue in chiral if any(tuple(places[i]) not in given for i in _find_center(residue))]
    wrong = [residue for residue in built if _measure_volume(residue, 10.0 * places) < _LEAST_VOLUME_CUBIC_ANGSTROM]
    in_file = [residue for residue in find_mirrored_residues(fixer.topology, fixer.positions) if residue not in built]
    sentences = tuple(f"{label_residue(residue)} is a D-amino acid in the file" for residue in in_file)
    if wrong:
        gone = [atom for residue in wrong for atom in _place_again(fixer, residue, given)]
        _build_again(fixer, gone, seed)
    indices = {residue.index for residue in built}
    for residue in find_mirrored_residues(fixer.topology, fixer.positions):
        if residue.index in indices:
            label = label_residue(residue)
            lacking = ", ".join(atoms_added.get(label, ())) or "all atoms"
            raise PreparationError(
                f"{label} lacks {lacking}, and building them gave a D-amino acid: add these atoms to the file"
            )
    return sentences


def _find_center(residue: app.topology.Residue) -> list[int]:
    return [atom.index for atom in residue.atoms() if atom.name in _CENTER]


def _place_again(
    fixer: PDBFixer, residue: app.topology.Residue, given: frozenset[tuple[float, ...]]
) -> list[app.topology.Atom]:
    """Put one built neighbour of CA where it belongs; return the built atoms that hung on it."""
    places = {
        atom.name: np.array(fixer.positions[atom.index].value_in_unit(unit.nanometer)) for atom in residue.atoms()
    }
    moved = next((name for name in (*_PLACED_BY, "CA") if tuple(places[name]) not in given), "")
    if not moved:
        return []
    place = _place_center(places) if moved == "CA" else _place_neighbor(places, moved)
    at = next(atom.index for atom in residue.atoms() if atom.name == moved)
    fixer.positions[at] = Vec3(*place) * unit.nanometer
    names = {atom.name for atom in residue.atoms()}
    hanging = {"CB": names - _BACKBONE - {"CB"}, "N": frozenset(), "C": {"O", "OXT"}}.get(moved, ())
    return [atom for atom in residue.atoms() if atom.name in hanging and tuple(places[atom.name]) not in given]


def _place_neighbor(places: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    first, second, bond = _PLACED_BY[name]
    before = [10.0 * places[other] for other in (first, second, "CA")]
    return place_atom(before, bond, np.radians(_ANGLE), np.radians(_DIHEDRAL)) / 10.0


def _place_center(places: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return where CA belongs: above the middle of its three neighbours, on the side of an L-amino acid."""
    nitrogen, carbonyl, beta = (places[name] for name in ("N", "C", "CB"))
    normal = np.cross(carbonyl - nitrogen, beta - nitrogen)
    return (nitrogen + carbonyl + beta) / 3.0 - _HEIGHT_NM * normal / np.linalg.norm(normal)


def _build_again(fixer: PDBFixer, gone: list[app.topology.Atom], seed: int) -> None:
    modeller = app.Modeller(fixer.topology, fixer.positions)
    modeller.delete(gone)
    fixer.topology, fixer.positions, fixer.missingResidues = modeller.topology, modeller.positions, {}
    fixer.findMissingAtoms()
    if not any(atom.name == "OXT" for atom in gone):
        fixer.missingTerminals = {}  # built at first, where there are ends
    fixer.addMissingAtoms(seed=seed)
