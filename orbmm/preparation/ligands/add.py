"""The way of a ligand into the box: template, coordinates, hydrogens, room, record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_letters

import numpy as np
from openmm import app, unit
from rdkit import Chem

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import RigidMolecule
from orbmm.preparation.hydrogens.metal_sites import MetalSite, find_metal_sites
from orbmm.preparation.ligands.complete import add_hydrogens, build_molecule, name_atoms, turn_from_metals
from orbmm.preparation.ligands.match import NAME, PlacedAtoms, match_template
from orbmm.preparation.ligands.parameters import PARAMETERS, format_parameters
from orbmm.preparation.ligands.pose import Surroundings, place_at_metal
from orbmm.preparation.ligands.record import AddedLigands, KeptLigand
from orbmm.preparation.ligands.room import find_displaced_waters, find_nearest, list_heavy, read_metals, refuse_overlap
from orbmm.preparation.ligands.stereo import read_stereo, warn_of_open_stereo
from orbmm.preparation.ligands.template import HYDROGENS_ADDED, has_coordinates, read_template
from orbmm.preparation.repair.ligands import is_named
from orbmm.preparation.residues import is_metal, is_water, key_residue, label_residue
from orbmm.settings.preparation import LigandSettings

_FAR_ANGSTROM = 6.0  # from everything else: probably another frame


@dataclass(frozen=True)
class _Placed:
    """A molecule with coordinates and the name of its residue. coordinates: where they come from"""

    molecule: Chem.Mol
    label: str
    coordinates: str
    hydrogens_added: int
    warnings: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()  # waters at the metal, whose place it takes


def add_ligands(
    modeller: app.Modeller, found: app.Modeller, entries: Sequence[LigandSettings], seed: int
) -> AddedLigands:
    """Add each ligand with all its hydrogens to the modeller, and remove waters in whose place it is.

    found: the residues of the structure that settings name
    Raises PreparationError for whatever stands in the way.
    """
    templates = {entry.residue: read_template(entry) for entry in entries}
    kept, molecules = [], []
    residues = list(found.topology.residues())
    for residue in residues:
        entry = next(each for each in sorted(entries, key=lambda each: -len(each.residue)) if is_named(residue, each))
        placed = _take_from_structure(residue, found, templates[entry.residue], entry)
        kept.append(_add(modeller, placed))
        molecules.append(RigidMolecule(placed.label, format_parameters(placed.molecule, placed.label)))
    for entry in entries:
        if not any(is_named(residue, entry) for residue in residues):
            placed = _place(modeller, templates[entry.residue], entry, seed)
            kept.append(_add(modeller, placed))
            molecules.append(RigidMolecule(placed.label, format_parameters(placed.molecule, placed.label)))
    return AddedLigands(tuple(kept), tuple(molecules))


def _take_from_structure(
    residue: app.topology.Residue, found: app.Modeller, template: Chem.Mol, entry: LigandSettings
) -> _Placed:
    label = label_residue(residue)
    if entry.place_at is not None:
        raise PreparationError(
            f"place_at is for a ligand that the structure lacks, but it has {label}: leave place_at out, or name the "
            "molecule that is to be placed differently"
        )
    positions = np.array(found.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    atoms = [atom for atom in residue.atoms() if atom.element is None or atom.element.atomic_number != 1]
    nameless = [atom.name for atom in atoms if atom.element is None]
    if nameless:
        raise PreparationError(f"atom {nameless[0]} of {label} has no element: write it into the structure file")
    numbers = [atom.element.atomic_number for atom in atoms]
    places = positions[[atom.index for atom in atoms]]
    placed = match_template(template, PlacedAtoms(label, [atom.name for atom in atoms], numbers, places))
    molecule = add_hydrogens(placed)
    name_atoms(molecule)
    return _Placed(molecule, label, "of the structure", molecule.GetNumAtoms() - len(atoms))


def _place(modeller: app.Modeller, template: Chem.Mol, entry: LigandSettings, seed: int) -> _Placed:
    """Place a molecule that the structure lacks: at a metal, as its file says, or alone in the box."""
    label = _name_residue(modeller.topology, entry)
    molecule, hydrogens = Chem.Mol(template), template.GetIntProp(HYDROGENS_ADDED)
    name_atoms(molecule)
    open_centres = tuple(warn_of_open_stereo(molecule, label))
    if entry.place_at is not None:
        return _place_at_metal(modeller, molecule, label, entry.place_at, seed, open_centres)
    if has_coordinates(molecule):
        return _Placed(molecule, label, f"of {entry.file}", hydrogens)
    if modeller.topology.getNumAtoms():
        having = sorted({residue.name for residue in modeller.topology.residues() if is_metal(residue)})
        metals = f" (metals: {', '.join(having)})" if having else ""
        raise PreparationError(
            f"{entry.residue} has no place: the structure has no such residue, its template no coordinates in three "
            f"dimensions; give a file with them, or a metal as place_at{metals}"
        )
    return _Placed(build_molecule(molecule, label, seed), label, "built by RDKit", hydrogens, open_centres)


def _place_at_metal(
    modeller: app.Modeller, molecule: Chem.Mol, label: str, metal: str, seed: int, warnings: tuple[str, ...]
) -> _Placed:
    site = _find_site(modeller, metal)
    bound = [atom for atom in _list_bound(modeller.topology, site) if is_water(atom.residue)]
    surroundings = _look_around(modeller, site)
    placed, binding = place_at_metal(molecule, surroundings, label, seed)
    length = np.linalg.norm(placed.GetConformer().GetPositions()[binding] - surroundings.metal)
    return _Placed(
        placed,
        label,
        f"modelled, {placed.GetAtomWithIdx(binding).GetProp(NAME)} {length:.2f} Å from {site.metal}",
        placed.GetIntProp(HYDROGENS_ADDED),
        (*warnings, f"the pose of {label} is modelled: it fits, but no experiment shows it"),
        tuple(label_residue(atom.residue) for atom in bound),
    )


def _find_site(modeller: app.Modeller, metal: str) -> MetalSite:
    sites = find_metal_sites(modeller.topology, modeller.positions)
    for site in sites:
        if site.metal.endswith(f" {metal}"):
            return site
    metals = ", ".join(site.metal for site in sites) or "none"
    raise PreparationError(f"place_at names '{metal}', which is no metal of the structure; its metals: {metals}")


def _list_bound(topology: app.Topology, site: MetalSite) -> list[app.topology.Atom]:
    atoms = list(topology.atoms())
    return [atoms[ligand.atom] for ligand in site.ligands]


def _look_around(modeller: app.Modeller, site: MetalSite) -> Surroundings:
    positions = np.array(modeller.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    donors = [atom.index for atom in _list_bound(modeller.topology, site) if not is_water(atom.residue)]
    others = [atom for atom in list_heavy(modeller.topology) if not (is_water(atom.residue) or is_metal(atom.residue))]
    return Surroundings(
        site.metal,
        positions[site.atom],
        positions[donors],
        positions[[atom.index for atom in others]],
        np.array([atom.element.atomic_number for atom in others]),
    )


def _name_residue(topology: app.Topology, entry: LigandSettings) -> str:
    """Return the name of a new residue: with the chain and number that settings give, else the next free number."""
    name, _, key = entry.residue.partition(" ")
    taken = {key_residue(residue) for residue in topology.residues()}
    if key in taken:
        raise PreparationError(f"{entry.residue} cannot be added: the structure has another residue {key}")
    if key:
        return entry.residue
    chains = [chain.id for chain in topology.chains()]
    chain = entry.place_at.split(":")[0] if entry.place_at is not None else chains[0] if chains else "A"
    numbers = [residue.id for residue in topology.residues() if residue.chain.id == chain]
    return f"{name} {chain}:{max((int(number) for number in numbers if number.isdigit()), default=0) + 1}"


def _add(modeller: app.Modeller, placed: _Placed) -> KeptLigand:
    """Add a molecule to the modeller and describe it."""
    molecule = placed.molecule
    refuse_overlap(modeller, molecule, placed.label)
    waters = find_displaced_waters(modeller, molecule, placed.leaving)
    gone = tuple(label_residue(residue) for residue in waters)
    if waters:
        modeller.delete(waters)
    warnings = (*placed.warnings, *_warn_of_distance(modeller, placed), *_warn_of_radicals(placed))
    turn_from_metals(molecule, read_metals(modeller))
    topology, positions = _build_topology(molecule, placed.label)
    modeller.add(topology, positions)
    return KeptLigand(
        residue=placed.label,
        state=_describe_state(molecule),
        charge=Chem.GetFormalCharge(molecule),
        atoms=molecule.GetNumAtoms(),
        coordinates=placed.coordinates,
        hydrogens_added=placed.hydrogens_added,
        parameters=PARAMETERS,
        waters_removed=gone,
        warnings=warnings,
    )


def _warn_of_distance(modeller: app.Modeller, placed: _Placed) -> Iterator[str]:
    nearest = find_nearest(modeller, placed.molecule)
    if nearest is not None and nearest > _FAR_ANGSTROM:
        yield f"{placed.label} is {nearest:.1f} Å from the nearest atom of the structure: are both in the same frame?"


def _warn_of_radicals(placed: _Placed) -> Iterator[str]:
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in placed.molecule.GetAtoms())
    if unpaired:
        count = f"{unpaired} unpaired electron{'s' if unpaired > 1 else ''}"
        yield f"{placed.label} has {count} in its template: look whether hydrogens are missing"


def _describe_state(molecule: Chem.Mol) -> str:
    bare = Chem.Mol(molecule)
    for atom in bare.GetAtoms():
        atom.SetAtomMapNum(0)
    read_stereo(bare)
    return str(Chem.MolToSmiles(Chem.RemoveHs(bare)))


def _build_topology(molecule: Chem.Mol, label: str) -> tuple[app.Topology, unit.Quantity]:
    name, _, key = label.partition(" ")
    chain, _, number = key.partition(":")
    insertion = number[len(number.rstrip(ascii_letters)) :]
    topology = app.Topology()
    residue = topology.addResidue(name, topology.addChain(chain), number.removesuffix(insertion), insertion or " ")
    atoms = []
    for atom in molecule.GetAtoms():
        element = app.element.Element.getByAtomicNumber(atom.GetAtomicNum())
        atoms.append(
            topology.addAtom(atom.GetProp(NAME), element, residue, formalCharge=atom.GetFormalCharge() or None)
        )
    for bond in molecule.GetBonds():
        topology.addBond(atoms[bond.GetBeginAtomIdx()], atoms[bond.GetEndAtomIdx()])
    return topology, molecule.GetConformer().GetPositions() * unit.angstrom
