"""The record of a ligand: what it is, where its coordinates come from, and what was done for it."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.preparation.force_field import Molecules


@dataclass(frozen=True)
class KeptLigand:
    """One small molecule in the box.

    residue: such as "AZM A:301"
    state: SMILES with charges, hydrogens and stereochemistry; charge: of the molecule [e]; atoms: with hydrogens
    coordinates: where they come from; hydrogens_added: those that RDKit placed
    parameters: how it was held while water and protein relaxed
    waters_removed: waters of the structure in whose place it is
    """

    residue: str
    state: str
    charge: int
    atoms: int
    coordinates: str
    hydrogens_added: int
    parameters: str
    waters_removed: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class AddedLigands:
    """All ligands of a box, and the same as the classical force field needs them."""

    ligands: tuple[KeptLigand, ...] = ()
    molecules: Molecules = ()
