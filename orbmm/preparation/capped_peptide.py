"""Capped peptides ACE-X-NME built from ideal backbone geometry, without any structure file."""

from __future__ import annotations

import io

import numpy as np
from openmm import LangevinMiddleIntegrator, Platform, app, unit
from pdbfixer import PDBFixer
from pdbfixer.pdbfixer import proteinResidues

from orbmm.errors import PreparationError, name_nearest
from orbmm.preparation.library_calls import seeded_random

# The backbone atom by atom: name, bond to the atom before [Å], angle [degrees], dihedral [degrees].
# Lengths and angles: Engh and Huber, Acta Cryst. A47, 392 (1991); phi = -80 and psi = 80 is the C7eq basin.
_ACETYL = (("CH3", 0.000, 0.0, 0.0), ("C", 1.516, 0.0, 0.0))
_FIRST_RESIDUE = (("N", 1.329, 116.2, 0.0), ("CA", 1.458, 121.7, 180.0), ("C", 1.525, 111.0, -80.0))
_NEXT_RESIDUE = (("N", 1.329, 116.2, 80.0), *_FIRST_RESIDUE[1:])
_METHYLAMIDE = (("N", 1.329, 116.2, 80.0), ("C", 1.458, 121.7, 180.0))
# CB from CA, angle with N, dihedral from C over N and CA. Left to PDBFixer, that of alanine ends on the wrong side.
_BETA_CARBON = (1.530, 110.4, -122.0)


def build_capped_peptide(residue: str = "ALA", *, seed: int = 1) -> app.Modeller:
    """Build ACE-residue-NME with hydrogens and relax it with amber14 in vacuum.

    residue: a standard three-letter name, or several with hyphens between them, such as "SER-HIS-ASP"
    seed: the same one builds the same peptide bitwise
    Raises PreparationError for a residue that is none of the twenty.
    Source: bond lengths and angle of Engh and Huber; missing atoms and caps by PDBFixer.
    """
    residues = residue.split("-")
    for name in residues:
        if name not in proteinResidues:
            raise PreparationError(f"'{name}' is no standard residue; {name_nearest(name, proteinResidues)}")
    platform = Platform.getPlatform("Reference")  # repeats bitwise
    fixer = PDBFixer(pdbfile=io.StringIO(_backbone_pdb(residues)), platform=platform)
    fixer.findMissingResidues()
    fixer.findMissingAtoms()
    force_field = app.ForceField("amber14-all.xml")
    with seeded_random(seed):
        fixer.addMissingAtoms(seed=seed)
        modeller = app.Modeller(fixer.topology, fixer.positions)
        modeller.addHydrogens(force_field, platform=platform)
    modeller.positions = _relax(modeller, force_field)
    return modeller


def _backbone_pdb(residues: list[str]) -> str:
    """Return the backbone atoms of ACE-residues-NME, and each CB, which makes its residue left-handed, as PDB text."""
    parts = [_ACETYL, _FIRST_RESIDUE, *[_NEXT_RESIDUE] * (len(residues) - 1), _METHYLAMIDE]
    chain: list[np.ndarray] = []
    atoms: list[tuple[str, int, str, np.ndarray]] = []
    for number, (owner, part) in enumerate(zip(["ACE", *residues, "NME"], parts, strict=True), start=1):
        for name, bond, angle, dihedral in part:
            chain.append(place_atom(chain, bond, np.radians(angle), np.radians(dihedral)))
            atoms.append((owner, number, name, chain[-1]))
        if owner not in ("ACE", "GLY", "NME"):
            nitrogen, alpha, carbonyl = chain[-3:]
            bond, angle, dihedral = _BETA_CARBON
            beta = place_atom([carbonyl, nitrogen, alpha], bond, np.radians(angle), np.radians(dihedral))
            atoms.append((owner, number, "CB", beta))
    lines = []
    for serial, (owner, number, name, (x, y, z)) in enumerate(atoms, start=1):
        lines.append(
            f"ATOM  {serial:5d}  {name:<3s} {owner:3s} A{number:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {name[0]:>2s}"
        )
    return "\n".join([*lines, "END", ""])


def place_atom(before: list[np.ndarray], bond: float, angle: float, dihedral: float) -> np.ndarray:
    """The next atom of a chain from its internal coordinates (bond in Å, angles in radians)."""
    if not before:
        return np.zeros(3)
    if len(before) == 1:
        return np.array([bond, 0.0, 0.0])
    first = before[-3] if len(before) > 2 else before[-2] + np.array([0.0, 1.0, 0.0])
    along = (before[-1] - before[-2]) / np.linalg.norm(before[-1] - before[-2])
    normal = np.cross(before[-2] - first, along)
    normal /= np.linalg.norm(normal)
    inside = np.array([-np.cos(angle), np.sin(angle) * np.cos(dihedral), np.sin(angle) * np.sin(dihedral)])
    return before[-1] + bond * inside @ np.stack([along, np.cross(normal, along), normal])


def _relax(modeller: app.Modeller, force_field: app.ForceField) -> unit.Quantity:
    system = force_field.createSystem(modeller.topology, nonbondedMethod=app.NoCutoff)
    integrator = LangevinMiddleIntegrator(300, 1.0, 0.001)
    simulation = app.Simulation(modeller.topology, system, integrator, Platform.getPlatform("Reference"))
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy()
    return simulation.context.getState(getPositions=True).getPositions()
