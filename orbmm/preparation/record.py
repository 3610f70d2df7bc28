"""Everything that preparation did, in the form of preparation.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbmm.preparation.alternate_locations import LocationChoice
from orbmm.preparation.classical import Relaxation
from orbmm.preparation.metal_sites import MetalSite
from orbmm.preparation.protonation import Protonation
from orbmm.preparation.repair import Repairs
from orbmm.preparation.solvent import Solvation


@dataclass(frozen=True)
class PreparationRecord:
    """One field for each kind of change, and what the finished box is.

    origin, sha256: the structure file, or the name of a built-in system
    metal_sites_in_file, metal_sites: ligand distances before and after the classical force field
    disulfides: such as "CYS A:3 - CYS A:40"
    charge: of the whole box [e]; multiplicity: the lowest that the number of electrons allows
    elements: number of atoms by symbol; box_nm: rows are the box vectors [nm]
    """

    origin: str
    sha256: str | None
    ph: float
    seed: int
    alternate_locations: tuple[LocationChoice, ...]
    repairs: Repairs | None
    protonation: tuple[Protonation, ...]
    disulfides: tuple[str, ...]
    metal_sites_in_file: tuple[MetalSite, ...]
    metal_sites: tuple[MetalSite, ...]
    solute_charge: int
    solvation: Solvation
    relaxation: Relaxation
    atoms: int
    elements: Mapping[str, int]
    charge: int
    multiplicity: int
    box_shape: str
    box_nm: tuple[tuple[float, ...], ...]
    warnings: tuple[str, ...]
