"""Metal ions and what binds them: which atoms may carry no hydrogen there, and the check that none does.

A force field does not know these bonds and OpenMM places the hydrogen of a histidine by hydrogen bonds alone: in
carbonic anhydrase it would put one between zinc and HIS 119.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.geometry import take_nearest
from orbmm.preparation.residues import is_metal, is_polymer, is_water, label_residue

LIGAND_DISTANCE_ANGSTROM = 2.6
LEAST_HYDROGEN_DISTANCE_ANGSTROM = 2.5
_LIGAND_ELEMENTS = frozenset({"N", "O", "S"})
# The form of a residue whose named atom binds a metal and therefore carries no hydrogen.
_BINDING_VARIANTS = {
    ("HIS", "ND1"): "HIE",
    ("HIS", "NE2"): "HID",
    ("LYS", "NZ"): "LYN",
    ("CYS", "SG"): "CYM",
    ("ASP", "OD1"): "ASP",
    ("ASP", "OD2"): "ASP",
    ("GLU", "OE1"): "GLU",
    ("GLU", "OE2"): "GLU",
}


@dataclass(frozen=True)
class Ligand:
    """An atom that binds a metal.

    atom: its index, residue: such as "HIS A:94", name: such as "NE2", distance_angstrom: from the metal [Å]
    """

    atom: int
    residue: str
    name: str
    distance_angstrom: float


@dataclass(frozen=True)
class MetalSite:
    """One metal ion and the atoms that bind it.

    atom: index of the metal, metal: such as "ZN A:262"
    """

    atom: int
    metal: str
    ligands: tuple[Ligand, ...]


def find_metal_sites(topology: app.Topology, positions: unit.Quantity) -> tuple[MetalSite, ...]:
    """Every metal ion with the nitrogen, oxygen and sulfur atoms within 2.6 Å of it, nearest first."""
    positions = np.array(positions.value_in_unit(unit.angstrom))
    atoms = list(topology.atoms())
    sites = []
    for residue in topology.residues():
        if not is_metal(residue):
            continue
        metal = next(residue.atoms())
        distances = np.linalg.norm(positions - positions[metal.index], axis=1)
        near = [index for index in np.argsort(distances) if distances[index] <= LIGAND_DISTANCE_ANGSTROM]
        ligands = tuple(
            Ligand(atoms[i].index, label_residue(atoms[i].residue), atoms[i].name, round(float(distances[i]), 3))
            for i in near
            if atoms[i].element is not None and atoms[i].element.symbol in _LIGAND_ELEMENTS
        )
        sites.append(MetalSite(metal.index, label_residue(residue), ligands))
    return tuple(sites)


def measure_sites(
    sites: Iterable[MetalSite], topology: app.Topology, positions: unit.Quantity
) -> tuple[MetalSite, ...]:
    """Return the sites with the distances at other positions, between nearest images."""
    positions = np.array(positions.value_in_unit(unit.angstrom))
    cell = np.array(topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom))

    def measure(site: MetalSite, ligand: Ligand) -> float:
        vector = take_nearest(positions[ligand.atom] - positions[site.atom], cell)
        return round(float(np.linalg.norm(vector)), 3)

    return tuple(
        replace(
            site,
            ligands=tuple(replace(ligand, distance_angstrom=measure(site, ligand)) for ligand in site.ligands),
        )
        for site in sites
    )


def choose_binding_variants(topology: app.Topology, sites: Iterable[MetalSite]) -> dict[int, tuple[str, str]]:
    """The protonation that a metal dictates, with the reason, by residue index.

    Raises PreparationError for a histidine that two metals bind: no force field here has its anion.
    """
    atoms = list(topology.atoms())
    chosen: dict[int, tuple[str, str]] = {}
    for site in sites:
        for ligand in site.ligands:
            residue = atoms[ligand.atom].residue
            variant = _BINDING_VARIANTS.get((residue.name, ligand.name))
            if variant is None:
                continue
            earlier = chosen.get(residue.index)
            if earlier is not None and earlier[0] != variant:
                raise PreparationError(
                    f"{ligand.residue} binds metals through both ring nitrogens ({site.metal} is the second): "
                    "such an anion cannot be prepared with amber14"
                )
            chosen[residue.index] = (variant, f"binds {site.metal} through {ligand.name}")
    return chosen


def check_metal_sites(topology: app.Topology, positions: unit.Quantity, sites: Iterable[MetalSite]) -> None:
    """Raise PreparationError where a hydrogen, other than a water's, is within 2.5 Å of a metal."""
    positions = np.array(positions.value_in_unit(unit.angstrom))
    hydrogens = [
        atom
        for atom in topology.atoms()
        if atom.element is not None and atom.element.atomic_number == 1 and not is_water(atom.residue)
    ]
    if not hydrogens:
        return
    of_hydrogens = positions[[atom.index for atom in hydrogens]]
    for site in sites:
        distances = np.linalg.norm(of_hydrogens - positions[site.atom], axis=1)
        nearest = int(np.argmin(distances))
        if distances[nearest] < LEAST_HYDROGEN_DISTANCE_ANGSTROM:
            atom = hydrogens[nearest]
            raise PreparationError(
                f"hydrogen {atom.name} of {label_residue(atom.residue)} is {distances[nearest]:.2f} Å from "
                f"{site.metal}, nearer than {LEAST_HYDROGEN_DISTANCE_ANGSTROM} Å: {_name_remedy(atom.residue)}"
            )


def _name_remedy(residue: app.topology.Residue) -> str:
    if residue.name in {name for name, _ in _BINDING_VARIANTS}:
        return "give that residue another form under [preparation] variants"
    if not is_polymer(residue):
        return "write it without that hydrogen under [[preparation.ligand]], or correct its coordinates"
    return f"amber14 has no {residue.name} without that hydrogen, so take the metal out of the file, or move it"


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
    positions = np.array(modeller.positions.value_in_unit(unit.angstrom))
    residues = list(modeller.topology.residues())
    metals = positions[[atom.index for residue in residues if is_metal(residue) for atom in residue.atoms()]]

    def measure_from_metal(hydrogen: app.topology.Atom) -> float:
        return float(np.linalg.norm(metals - positions[hydrogen.index], axis=1).min())

    modeller.delete([min(_find_hydrogens(residues[index]), key=measure_from_metal) for index in waters])
    residues = list(modeller.topology.residues())
    for index in waters:
        (left,) = _find_hydrogens(residues[index])
        left.name = "H1"


def _find_hydrogens(water: app.topology.Residue) -> list[app.topology.Atom]:
    return [atom for atom in water.atoms() if atom.name != "O"]
