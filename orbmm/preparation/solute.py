"""Build the solute: a repaired and protonated structure, or one of the built-in systems."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.preparation.elements import KnownElements, refuse_unknown_elements
from orbmm.preparation.force_field import list_ion_charges
from orbmm.preparation.hydrogens.metal_sites import MetalSite, check_metal_sites, find_metal_sites
from orbmm.preparation.hydrogens.protonation import Protonation, protonate
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
    metal_sites: with the distances of the structure file
    ion_charges: the charge taken for each ion [e], such as {"ZN A:262": 2}
    """

    modeller: app.Modeller
    origin: str
    sha256: str | None = None
    alternate_locations: tuple[LocationChoice, ...] = ()
    repairs: Repairs | None = None
    protonation: tuple[Protonation, ...] = ()
    metal_sites: tuple[MetalSite, ...] = ()
    ion_charges: Mapping[str, int] = field(default_factory=dict)


def build_solute(system: SystemSettings, preparation: PreparationSettings, known: KnownElements | None) -> Solute:
    """The solute that `system.source` names, at the pH that settings ask for.

    Raises PreparationError for whatever stands in the way, elements that the model does not know included.
    """
    if system.source is None:
        raise PreparationError("[system] names no source: a structure file, pdb:<id>, alanine-dipeptide or water")
    if system.source == "alanine-dipeptide":
        return Solute(build_capped_peptide("ALA", seed=system.seed), system.source)
    if system.source == "water":
        return Solute(app.Modeller(app.Topology(), [] * unit.nanometer), system.source)
    return _build_from_file(system, preparation, known)


def _build_from_file(system: SystemSettings, preparation: PreparationSettings, known: KnownElements | None) -> Solute:
    file, locations = choose_locations(read_source(str(system.source)), preparation.alternate_locations)
    _log.info("repairing %s", file.origin)
    repaired = repair_structure(file, preparation, system.seed)
    modeller = repaired.modeller
    refuse_unknown_elements(modeller.topology, known)
    _log.info("placing hydrogens at pH %g", system.ph)
    sites = find_metal_sites(modeller.topology, modeller.positions)
    protonation = protonate(modeller, system.ph, preparation.variants, repaired.forms, sites, system.seed)
    sites = find_metal_sites(modeller.topology, modeller.positions)  # hydrogens moved the indices
    check_metal_sites(modeller.topology, modeller.positions, sites)
    return Solute(
        modeller,
        origin=file.origin,
        sha256=file.sha256,
        alternate_locations=locations,
        repairs=repaired.repairs,
        protonation=protonation,
        metal_sites=sites,
        ion_charges=list_ion_charges(modeller.topology),
    )
