"""The template of a ligand: its atoms, bonds, charges and hydrogens, as a SMILES or a file draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from orbmm.errors import PreparationError
from orbmm.files import read_file
from orbmm.preparation.ligands.complete import add_hydrogens
from orbmm.preparation.residues import NONMETALS
from orbmm.settings.preparation import LigandSettings

HYDROGENS_ADDED = "hydrogens added"  # property of a template: how many its SMILES or file leaves out

_LARGEST_BYTES = 1_000_000  # of a file with one small molecule


def read_template(entry: LigandSettings) -> Chem.Mol:
    """Return the molecule with all its hydrogens, in the state in which the SMILES or the file draws it.

    A conformer is there only where a file gives coordinates in three dimensions.
    Raises PreparationError for what cannot be read, several molecules, a metal, or a charge other than the stated one.
    """
    origin = _describe_origin(entry)
    with rdBase.BlockLogs():  # RDKit's own sentences go to the screen
        molecule = _read_smiles(str(entry.smiles)) if entry.file is None else _read_molecule_file(entry.file, origin)
    _refuse_unfit(molecule, entry, origin)
    placed = has_coordinates(molecule)
    if not placed:
        molecule.RemoveAllConformers()
    template = add_hydrogens(molecule) if placed else Chem.AddHs(molecule)
    template.SetIntProp(HYDROGENS_ADDED, template.GetNumAtoms() - molecule.GetNumAtoms())
    return template


def has_coordinates(molecule: Chem.Mol) -> bool:
    """Return True if the atoms have coordinates in three dimensions; a drawing in a plane has none."""
    if molecule.GetNumConformers() == 0 or not molecule.GetConformer().Is3D():
        return False
    return molecule.GetNumAtoms() == 1 or bool(np.ptp(molecule.GetConformer().GetPositions(), axis=0).max() > 0)


def _describe_origin(entry: LigandSettings) -> str:
    return f"{entry.residue}: smiles '{entry.smiles}'" if entry.file is None else f"{entry.residue}: {entry.file}"


def _read_smiles(smiles: str) -> Chem.Mol:
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise PreparationError(f"the SMILES '{smiles}' {_explain(Chem.MolFromSmiles(smiles, sanitize=False))}")
    return molecule


def _read_molecule_file(path: Path, origin: str) -> Chem.Mol:
    try:
        text = read_file(path, _LARGEST_BYTES).decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise PreparationError(f"there is no ligand file {path}") from error
    except OSError as error:
        raise PreparationError(f"the ligand file {path} cannot be read: {error}") from error
    if path.suffix.lower() == ".mol2":
        molecules = text.count("@<TRIPOS>MOLECULE")
        read, raw = Chem.MolFromMol2Block(text, removeHs=False), Chem.MolFromMol2Block(text, sanitize=False)
    else:
        molecules = max(1, len([record for record in text.split("$$$$") if record.strip()]))
        read, raw = Chem.MolFromMolBlock(text, removeHs=False), Chem.MolFromMolBlock(text, sanitize=False)
    if molecules > 1:
        raise PreparationError(
            f"{origin} holds {molecules} molecules: write the one that is meant to a file of its own"
        )
    if read is None or read.GetNumAtoms() == 0:
        raise PreparationError(f"the ligand file {path} {_explain(raw)}")
    return read


def _explain(raw: Chem.Mol | None) -> str:
    """Say why RDKit takes no molecule. raw: what it reads without a look at the valences, None where that fails too."""
    problems = Chem.DetectChemistryProblems(raw) if raw is not None and raw.GetNumAtoms() else ()
    if not problems:
        return "cannot be read as a molecule: is it whole, and of that format?"
    return f"is no possible molecule ({problems[0].Message()}): correct its bonds, hydrogens or charges"


def _refuse_unfit(molecule: Chem.Mol, entry: LigandSettings, origin: str) -> None:
    unknown = [atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
    if unknown:
        raise PreparationError(f"{origin} holds atoms without an element ({', '.join(unknown)}): name their elements")
    metals = sorted({atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetAtomicNum() not in NONMETALS})
    if metals:
        raise PreparationError(
            f"{origin} holds {', '.join(metals)}: a ligand with a metal in it cannot be prepared yet, only beside one"
        )
    if molecule.GetNumHeavyAtoms() == 1 and Chem.AddHs(molecule).GetNumAtoms() == 1:
        raise PreparationError(f"{origin} is a single ion: name its residue in keep_heterogens instead")
    parts = len(Chem.GetMolFrags(molecule))
    if parts > 1:
        raise PreparationError(
            f"{origin} holds {parts} molecules: write the ligand without its counter-ions, these follow from the charge"
        )
    charge = Chem.GetFormalCharge(molecule)
    if entry.charge is not None and entry.charge != charge:
        raise PreparationError(
            f"{origin} has charge {charge:+d}, but charge is {entry.charge:+d}: write the state that is meant, "
            "with its hydrogens and charges, or correct charge"
        )
