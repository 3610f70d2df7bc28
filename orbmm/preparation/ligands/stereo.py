"""Stereochemistry of a ligand: read from coordinates, compared by labels, and without what is only resonance."""

from __future__ import annotations

from collections.abc import Iterator

from rdkit import Chem
from rdkit.Chem import rdCIPLabeler


def read_stereo(molecule: Chem.Mol) -> None:
    """Set the stereochemistry of a molecule to that of its coordinates."""
    Chem.AssignStereochemistryFrom3D(molecule)
    forget_resonance(molecule)


def forget_resonance(molecule: Chem.Mol) -> None:
    """Make phosphorus and sulfur no stereocentre where only a drawing tells two of its oxygens apart, as P(=O)[O-]."""
    for index in _list_resonance_centres(molecule):
        atom = molecule.GetAtomWithIdx(index)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        atom.ClearProp("_CIPCode")


def label_stereo(molecule: Chem.Mol) -> dict[tuple[int, ...], str]:
    """Return the label (R, S, E, Z, ...) of each centre and double bond that is specified, by its atoms."""
    rdCIPLabeler.AssignCIPLabels(molecule)
    labels: dict[tuple[int, ...], str] = {}
    for atom in molecule.GetAtoms():
        if atom.HasProp("_CIPCode"):
            labels[(atom.GetIdx(),)] = atom.GetProp("_CIPCode")
    for bond in molecule.GetBonds():
        if bond.HasProp("_CIPCode"):
            labels[tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())))] = bond.GetProp("_CIPCode")
    return labels


def warn_of_open_stereo(template: Chem.Mol, label: str) -> Iterator[str]:
    """Yield a sentence where a template leaves stereochemistry open, so that RDKit chooses it."""
    heavy = Chem.RemoveAllHs(template)
    meaningless = _list_resonance_centres(heavy)
    unspecified = [
        info
        for info in Chem.FindPotentialStereo(heavy)
        if info.specified == Chem.StereoSpecified.Unspecified
        and not (info.type == Chem.StereoType.Atom_Tetrahedral and info.centeredOn in meaningless)
    ]
    if unspecified:
        several = "s" if len(unspecified) > 1 else ""
        yield (
            f"the template of {label} leaves {len(unspecified)} stereocentre{several} or double bond{several} open: "
            "RDKit chose, see its state; write the one that is meant into the SMILES"
        )


def _list_resonance_centres(molecule: Chem.Mol) -> set[int]:
    centres = set()
    for atom in molecule.GetAtoms():
        ends = [other for other in atom.GetNeighbors() if other.GetAtomicNum() == 8 and other.GetDegree() == 1]
        if atom.GetAtomicNum() in (15, 16) and sum(other.GetTotalNumHs() == 0 for other in ends) > 1:
            centres.add(atom.GetIdx())
    return centres
