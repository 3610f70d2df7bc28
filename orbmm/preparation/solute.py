"""Build the solute: a repaired and protonated structure, or one of the built-in systems."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from openmm import app, unit

from orbmm.errors import MissingDependency, PreparationError, quote_reason
from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.preparation.elements import KnownElements, refuse_unknown_elements
from orbmm.preparation.force_field import Molecules, list_ion_charges
from orbmm.preparation.hydrogens.metal_sites import MetalSite, check_metal_sites, find_metal_sites
from orbmm.preparation.hydrogens.protonation import Protonation, protonate
from orbmm.preparation.ligands.record import AddedLigands, KeptLigand
from orbmm.preparation.reading.alternate_locations import LocationChoice, choose_locations
from orbmm.preparation.reading.source import read_source
from orbmm.preparation.repair.repair import Repairs, repair_structure
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Solute:
    """Atoms with all their hydrogens, and how they came about.

    origin: path, address or name of the built-in system; sha256: of the file
    repairs: None for a built-in system, which needs none
    ligands, molecules: small molecules that are kept, for the record and for the classical force field
    metal_sites: with the distances of the structure file
    ion_charges: the charge taken for each ion [e], such as {"ZN A:262": 2}
    """

    modeller: app.Modeller
    origin: str
    sha256: str | None = None
    alternate_locations: tuple[LocationChoice, ...] = ()
    repairs: Repairs | None = None
    ligands: tuple[KeptLigand, ...] = ()
    molecules: Molecules = ()
    protonation: tuple[Protonation, ...] = ()
    metal_sites: tuple[MetalSite, ...] = ()
    ion_charges: Mapping[str, int] = field(default_factory=dict)


def build_solute(system: SystemSettings, preparation: PreparationSettings, known: KnownElements | None) -> Solute:
    """The solute that `system.source` names, at the pH that settings ask for.

    Raises PreparationError for whatever stands in the way, elements that the model does not know included.
    """
    if system.source is None:
        raise PreparationError("[system] names no source: a structure file, pdb:<id>, alanine-dipeptide or water")
    if system.source in ("alanine-dipeptide", "water"):
        return _build_in(system, preparation, known)
    return _build_from_file(system, preparation, known)


def _build_in(system: SystemSettings, preparation: PreparationSettings, known: KnownElements | None) -> Solute:
    """A capped peptide, or nothing where the box is to hold water; and the ligands."""
    peptide = system.source == "alanine-dipeptide"
    modeller = build_capped_peptide("ALA", seed=system.seed) if peptide else _build_nothing()
    added = _add_ligands(modeller, _build_nothing(), preparation, system.seed)
    refuse_unknown_elements(modeller.topology, known)
    return Solute(modeller, str(system.source), ligands=added.ligands, molecules=added.molecules)


def _build_nothing() -> app.Modeller:
    return app.Modeller(app.Topology(), [] * unit.nanometer)


def _add_ligands(
    modeller: app.Modeller, found: app.Modeller, preparation: PreparationSettings, seed: int
) -> AddedLigands:
    """Add the ligands that settings name. found: those of the structure"""
    if not preparation.ligand:
        return AddedLigands()
    try:
        from orbmm.preparation.ligands.add import add_ligands
    except ImportError as error:
        if (error.name or "").split(".")[0] != "rdkit":
            raise
        fault = (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded{quote_reason(error)}"
        )
        raise MissingDependency(
            f"[[preparation.ligand]] needs RDKit, which {fault}: pip install 'orbmm[ligands]'"
        ) from error
    _log.info("adding %s", ", ".join(ligand.residue for ligand in preparation.ligand))
    return add_ligands(modeller, found, preparation.ligand, seed)


def _build_from_file(system: SystemSettings, preparation: PreparationSettings, known: KnownElements | None) -> Solute:
    file, locations = choose_locations(read_source(str(system.source)), preparation.alternate_locations)
    _log.info("repairing %s", file.origin)
    repaired = repair_structure(file, preparation, system.seed)
    modeller = repaired.modeller
    added = _add_ligands(modeller, repaired.ligands, preparation, system.seed)
    refuse_unknown_elements(modeller.topology, known)
    _log.info("placing hydrogens at pH %g", system.ph)
    protonation = protonate(modeller, system.ph, preparation.variants, repaired.forms, system.seed, added.molecules)
    sites = find_metal_sites(modeller.topology, modeller.positions)
    check_metal_sites(modeller.topology, modeller.positions, sites)
    return Solute(
        modeller,
        origin=file.origin,
        sha256=file.sha256,
        alternate_locations=locations,
        repairs=repaired.repairs,
        ligands=added.ligands,
        molecules=added.molecules,
        protonation=protonation,
        metal_sites=sites,
        ion_charges=list_ion_charges(modeller.topology),
    )
