"""The waters that metals bind: each may be asked to be a hydroxide, as carbonic anhydrase has one when it is active."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from openmm import app, unit

from orbmm.preparation.metal_sites import MetalSite
from orbmm.preparation.residues import is_metal, is_water


def find_bound_waters(topology: app.Topology, sites: Iterable[MetalSite]) -> dict[int, tuple[str, str]]:
    """Form "HOH" with its reason, by residue index, for each water that binds a metal."""
    atoms = list(topology.atoms())
    return {
        atoms[ligand.atom].residue.index: ("HOH", f"binds {site.metal}")
        for site in sites
        for ligand in site.ligands
        if is_water(atoms[ligand.atom].residue)
    }


def remove_protons(modeller: app.Modeller, waters: set[int]) -> None:
    """Make hydroxides of the waters with these residue indices; of two hydrogens, the one nearer to a metal goes.

    The residue keeps the name HOH, by which trajectories and their analysis know where protons may go.
    """
    if not waters:
        return
    places = np.array(modeller.positions.value_in_unit(unit.angstrom))
    residues = list(modeller.topology.residues())
    metals = places[[atom.index for residue in residues if is_metal(residue) for atom in residue.atoms()]]

    def measure_from_metal(hydrogen: app.topology.Atom) -> float:
        return float(np.linalg.norm(metals - places[hydrogen.index], axis=1).min())

    modeller.delete([min(_find_hydrogens(residues[index]), key=measure_from_metal) for index in waters])
    residues = list(modeller.topology.residues())
    for index in waters:
        (left,) = _find_hydrogens(residues[index])
        left.name = "H1"


def _find_hydrogens(water: app.topology.Residue) -> list[app.topology.Atom]:
    return [atom for atom in water.atoms() if atom.name != "O"]
