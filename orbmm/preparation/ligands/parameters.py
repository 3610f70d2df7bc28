"""Classical parameters of a ligand that only hold water and protein off it while it does not move itself."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from rdkit import Chem
from rdkit.Chem.rdForceFieldHelpers import GetUFFVdWParams
from rdkit.Chem.rdPartialCharges import ComputeGasteigerCharges

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.match import NAME

PARAMETERS = "Lennard-Jones of UFF, charges of Gasteiger and Marsili, held rigid"

_NM_PER_ANGSTROM = 0.1
_KJ_PER_KCAL = 4.184
_POLAR = frozenset({7, 8, 16})
_SCALES = {"coulomb14scale": "0.8333333333333334", "lj14scale": "0.5"}  # those of amber14, which must agree


def format_parameters(molecule: Chem.Mol, label: str) -> str:
    """Return a force field of OpenMM with one residue template, named after the label, whose atoms have no mass.

    Sources: Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992); Gasteiger and Marsili, Tetrahedron 36, 3219 (1980).
    A hydrogen on N, O or S has no size of its own, as in amber14 and in TIP3P: it would keep hydrogen bonds apart.
    Raises PreparationError that names an atom for which UFF has no parameters.
    """
    root = ElementTree.Element("ForceField")
    types = ElementTree.SubElement(root, "AtomTypes")
    residue = ElementTree.SubElement(ElementTree.SubElement(root, "Residues"), "Residue", name=label)
    nonbonded = ElementTree.SubElement(root, "NonbondedForce", _SCALES)
    ElementTree.SubElement(nonbonded, "UseAttributeFromResidue", name="charge")
    for atom, charge in zip(molecule.GetAtoms(), compute_charges(molecule), strict=True):
        name, kind = atom.GetProp(NAME), f"{label} {atom.GetProp(NAME)}"
        sigma, epsilon = _read_size(molecule, atom, label)
        ElementTree.SubElement(types, "Type", {"name": kind, "class": kind, "element": atom.GetSymbol(), "mass": "0"})
        ElementTree.SubElement(residue, "Atom", name=name, type=kind, charge=repr(charge))
        ElementTree.SubElement(nonbonded, "Atom", type=kind, sigma=repr(sigma), epsilon=repr(epsilon))
    for bond in molecule.GetBonds():
        first, second = bond.GetBeginAtom().GetProp(NAME), bond.GetEndAtom().GetProp(NAME)
        ElementTree.SubElement(residue, "Bond", atomName1=first, atomName2=second)
    return ElementTree.tostring(root, encoding="unicode")


def compute_charges(molecule: Chem.Mol) -> list[float]:
    """Return the partial charge of each atom [e]; their sum is the formal charge of the molecule.

    Formal charges stand for all where the method lacks parameters for an element, such as boron.
    """
    ComputeGasteigerCharges(molecule)
    charges = [atom.GetDoubleProp("_GasteigerCharge") for atom in molecule.GetAtoms()]
    if not all(map(math.isfinite, charges)):
        return [float(atom.GetFormalCharge()) for atom in molecule.GetAtoms()]
    excess = (sum(charges) - Chem.GetFormalCharge(molecule)) / len(charges)
    return [charge - excess for charge in charges]


def _read_size(molecule: Chem.Mol, atom: Chem.Atom, label: str) -> tuple[float, float]:
    """Return sigma [nm] and epsilon [kJ/mol] of an atom."""
    found = GetUFFVdWParams(molecule, atom.GetIdx(), atom.GetIdx())
    if found is None:
        raise PreparationError(f"UFF has no size for {atom.GetProp(NAME)} of {label} ({atom.GetSymbol()})")
    distance_angstrom, depth_kcal = found  # of the minimum
    polar = atom.GetAtomicNum() == 1 and any(other.GetAtomicNum() in _POLAR for other in atom.GetNeighbors())
    return distance_angstrom * _NM_PER_ANGSTROM / 2 ** (1 / 6), 0.0 if polar else depth_kcal * _KJ_PER_KCAL
