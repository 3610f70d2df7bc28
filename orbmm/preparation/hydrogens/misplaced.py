"""Hydrogens that OpenMM leaves where they cannot stay, as beside residues that were built in a narrow gap."""

from __future__ import annotations

import numpy as np
from openmm import Vec3, app, unit
from scipy.spatial import cKDTree

_ALPHA_BOND_ANGSTROM = 1.09
_LARGEST_COSINE = -0.3  # of HA with the direction to the three neighbours of CA; -1 is opposite to them
_POLAR_BOND_ANGSTROM = 1.0
_LEAST_DISTANCE_ANGSTROM = 0.6  # of a hydrogen from an atom to which it is not bonded


def correct_hydrogens(modeller: app.Modeller) -> None:
    """Move each HA to its side of CA, and each polar hydrogen out of the atom that it fell into.

    HA on the side of N, C and CB turns the amino acid over in the relaxation. A polar hydrogen has no size in amber14:
    on top of another atom it makes forces that are no numbers.
    """
    places = np.array(modeller.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    moved = {**_find_alpha_hydrogens(modeller.topology, places), **_find_buried_hydrogens(modeller.topology, places)}
    for index, place in moved.items():
        modeller.positions[index] = Vec3(*place) * unit.angstrom


def _find_alpha_hydrogens(topology: app.Topology, places: np.ndarray) -> dict[int, np.ndarray]:
    """Return the right place of each HA that is on the wrong side, by atom index."""
    moved = {}
    for residue in topology.residues():
        atoms = {atom.name: atom.index for atom in residue.atoms()}
        if {"N", "CA", "C", "CB", "HA"} <= atoms.keys():
            alpha = places[atoms["CA"]]
            inward = np.sum([_find_direction(alpha, places[atoms[name]]) for name in ("N", "C", "CB")], axis=0)
            inward /= np.linalg.norm(inward)
            if inward @ _find_direction(alpha, places[atoms["HA"]]) > _LARGEST_COSINE:
                moved[atoms["HA"]] = alpha - _ALPHA_BOND_ANGSTROM * inward
    return moved


def _find_buried_hydrogens(topology: app.Topology, places: np.ndarray) -> dict[int, np.ndarray]:
    """Return a free place of each polar hydrogen on top of an atom to which it is not bonded, by atom index."""
    bonded: dict[int, list[app.topology.Atom]] = {atom.index: [] for atom in topology.atoms()}
    for first, second in topology.bonds():
        bonded[first.index].append(second)
        bonded[second.index].append(first)
    tree = cKDTree(places)
    moved = {}
    for atom in topology.atoms():
        parents = bonded[atom.index]
        if atom.element is not app.element.hydrogen or not parents or parents[0].element is app.element.carbon:
            continue
        parent = parents[0].index
        near = set(tree.query_ball_point(places[atom.index], _LEAST_DISTANCE_ANGSTROM)) - {atom.index, parent}
        if near:
            others = [*near, *(other.index for other in bonded[parent] if other is not atom)]
            away = -np.sum([_find_direction(places[parent], places[other]) for other in others], axis=0)
            moved[atom.index] = places[parent] + _POLAR_BOND_ANGSTROM * away / np.linalg.norm(away)
    return moved


def _find_direction(origin: np.ndarray, place: np.ndarray) -> np.ndarray:
    return (place - origin) / np.linalg.norm(place - origin)
