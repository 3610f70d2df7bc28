"""Small molecules that need no file: drawn by RDKit alone, and as residues of a PDB file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdDistGeom import EmbedMolecule
from rdkit.Chem.rdForceFieldHelpers import MMFFOptimizeMolecule

from orbmm.preparation.ligands.match import PlacedAtoms


def draw_molecule(smiles: str, seed: int = 1) -> Chem.Mol:
    """A molecule in three dimensions with all hydrogens, in the order of its SMILES."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    EmbedMolecule(molecule, randomSeed=seed)
    MMFFOptimizeMolecule(molecule)
    return molecule


def take_heavy_atoms(molecule: Chem.Mol, label: str = "LIG A:1", seed: int = 1) -> PlacedAtoms:
    """Its heavy atoms as a structure file gives them: elements and places, in another order, with names of its own."""
    heavy = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1]
    atoms = [heavy[index] for index in np.random.default_rng(seed).permutation(len(heavy))]
    names = [f"{atom.GetSymbol().upper()}{10 + at}" for at, atom in enumerate(atoms)]
    places = molecule.GetConformer().GetPositions()[[atom.GetIdx() for atom in atoms]]
    return PlacedAtoms(label, names, [atom.GetAtomicNum() for atom in atoms], places)


def leave_out(found: PlacedAtoms, index: int) -> PlacedAtoms:
    """The same residue without one of its atoms."""
    left = [at for at in range(len(found.names)) if at != index]
    names, numbers = [found.names[at] for at in left], [found.numbers[at] for at in left]
    return PlacedAtoms(found.label, names, numbers, found.positions[left])


def format_residue(found: PlacedAtoms, shift: Sequence[float] = (0.0, 0.0, 0.0), location: str = " ") -> list[str]:
    """The HETATM lines of a residue, moved by `shift` [Å]. location: its alternate location, which is half occupied."""
    name, _, key = found.label.partition(" ")
    chain, number = key.split(":")
    occupancy = 1.0 if location == " " else 0.5
    lines = []
    for at, (atom, atomic_number, place) in enumerate(zip(found.names, found.numbers, found.positions, strict=True)):
        x, y, z = place + np.array(shift)
        element = Chem.GetPeriodicTable().GetElementSymbol(int(atomic_number)).upper()
        column = f"{atom:<4s}" if len(atom) > 3 else f" {atom:<3s}"
        lines.append(
            f"HETATM{900 + at:5d} {column}{location}{name:3s} {chain}{int(number):4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}  0.00          {element:>2s}"
        )
    return lines
