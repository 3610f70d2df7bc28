"""The way from a source to a box that a network can run: one stage after the other."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.box.classical import Held, OnProgress, Relaxation, ignore_progress, relax_box
from orbmm.preparation.box.solvent import Solvation, add_solvent
from orbmm.preparation.elements import (
    KnownElements,
    find_lowest_multiplicity,
    refuse_impossible_multiplicity,
    refuse_unknown_elements,
    refuse_unknown_ions,
)
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.hydrogens.metal_sites import MetalSite, check_metal_sites, measure_sites
from orbmm.preparation.hydrogens.protonation import Protonation
from orbmm.preparation.ligands.record import KeptLigand
from orbmm.preparation.reading.alternate_locations import LocationChoice
from orbmm.preparation.repair.breaks import check_polymer_bonds
from orbmm.preparation.repair.chirality import list_mirrored_residues
from orbmm.preparation.repair.repair import Repairs
from orbmm.preparation.residues import label_residue
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

# Metals with a shell of d or f electrons to fill: their ions may have unpaired ones.
_OPEN_SHELL_METALS = frozenset({*range(21, 30), *range(39, 48), *range(57, 80)})

_LEAST_DENSITY_G_PER_CM3 = 0.97  # of water and of whatever is dissolved in it

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedSystem:
    """A finished box: the topology carries its vectors, positions are a quantity, the record says what was done."""

    topology: app.Topology
    positions: unit.Quantity
    record: PreparationRecord


def prepare_system(
    system: SystemSettings,
    preparation: PreparationSettings,
    known: KnownElements | None = None,
    on_progress: OnProgress = ignore_progress,
    multiplicity: int | None = None,
) -> PreparedSystem:
    """Build the solvated, classically relaxed box that the settings describe; the same seed gives the same box bitwise.

    known: what the model was trained on; other elements are refused. None does not check.
    on_progress: called during the relaxation, which takes minutes for a protein
    multiplicity: what the model will be given; one that the electrons do not allow is refused before the relaxation
    Raises PreparationError for whatever stands in the way, ModelError for the multiplicity.
    """
    solute = build_solute(system, preparation, known)
    modeller = solute.modeller
    solute_charge = sum_charge(modeller.topology, solute.molecules)
    refuse_unknown_ions(solute_charge, system.salt_molar, system.neutralize, known)
    _log.info("filling a %s with water", system.box)
    solvation = add_solvent(modeller, system, solute.molecules)
    refuse_unknown_elements(modeller.topology, known)
    charge = sum_charge(modeller.topology, solute.molecules)
    refuse_impossible_multiplicity(modeller.topology, charge, multiplicity)
    relaxation = _relax(solute, preparation, system.seed, on_progress)
    sites = measure_sites(solute.metal_sites, modeller.topology, modeller.positions)
    check_metal_sites(modeller.topology, modeller.positions, sites)
    elements = Counter(atom.element.symbol for atom in modeller.topology.atoms())
    record = PreparationRecord(
        origin=solute.origin,
        sha256=solute.sha256,
        ph=system.ph,
        seed=system.seed,
        alternate_locations=solute.alternate_locations,
        repairs=solute.repairs,
        ligands=solute.ligands,
        protonation=solute.protonation,
        disulfides=_list_disulfides(modeller.topology),
        metal_sites_in_file=solute.metal_sites,
        metal_sites=sites,
        ion_charges=solute.ion_charges,
        solute_charge=solute_charge,
        solvation=solvation,
        relaxation=relaxation,
        atoms=modeller.topology.getNumAtoms(),
        elements=dict(sorted(elements.items())),
        charge=charge,
        multiplicity=find_lowest_multiplicity(modeller.topology, charge),
        box_shape=system.box,
        box_nm=_read_box(modeller.topology),
        warnings=(*_collect_warnings(solute, charge, sites), *_warn_of_density(relaxation, preparation)),
    )
    return PreparedSystem(modeller.topology, modeller.positions, record)


def _relax(solute: Solute, preparation: PreparationSettings, seed: int, on_progress: OnProgress) -> Relaxation:
    """Relax the box; again with all amino acids held left-handed where residues that were built turned one over.

    Raises PreparationError where a bond is torn or an amino acid is turned over nevertheless.
    """
    modeller = solute.modeller
    positions, box = modeller.positions, modeller.topology.getPeriodicBoxVectors()
    before = set(list_mirrored_residues(modeller.topology, positions))
    held = Held(solute.metal_sites, solute.molecules)
    relax = partial(relax_box, modeller, held, preparation, seed, on_progress)
    relaxation = relax()
    if _list_turned(modeller, before):
        _log.info("relaxing again, because an amino acid was turned over")
        modeller.positions = positions
        modeller.topology.setPeriodicBoxVectors(box)
        relaxation = relax(hold_chirality=True)
    turned = _list_turned(modeller, before)
    if turned:
        raise PreparationError(
            f"{', '.join(turned[:5])} became a D-amino acid in the relaxation, from lack of room: "
            "correct the coordinates there, or choose another seed where residues beside it were built"
        )
    check_polymer_bonds(modeller.topology, modeller.positions, "after relaxation")
    return relaxation


def _list_turned(modeller: app.Modeller, before: set[str]) -> list[str]:
    return sorted(set(list_mirrored_residues(modeller.topology, modeller.positions)) - before)


def _list_disulfides(topology: app.Topology) -> tuple[str, ...]:
    return tuple(
        f"{label_residue(bond.atom1.residue)} - {label_residue(bond.atom2.residue)}"
        for bond in topology.bonds()
        if bond.atom1.name == bond.atom2.name == "SG"
    )


def _read_box(topology: app.Topology) -> tuple[tuple[float, ...], ...]:
    vectors = topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    return tuple(tuple(round(length, 6) for length in vector) for vector in vectors)


def _collect_warnings(solute: Solute, charge: int, sites: tuple[MetalSite, ...]) -> tuple[str, ...]:
    warnings = list(solute.repairs.warnings) if solute.repairs else []
    warnings.extend(warning for ligand in solute.ligands for warning in ligand.warnings)
    if charge:
        warnings.append(f"the box has total charge {charge:+d}")
    elements = [atom.element.atomic_number for atom in solute.modeller.topology.atoms()]
    for site in sites:
        if elements[site.atom] in _OPEN_SHELL_METALS:
            warnings.append(f"{site.metal} may have unpaired electrons: the multiplicity is the lowest, not looked up")
    return tuple(warnings)


def _warn_of_density(relaxation: Relaxation, preparation: PreparationSettings) -> Iterator[str]:
    """Water is put into a box more loosely than it lies there; only dynamics at constant pressure brings it together."""
    density, length = relaxation.density_g_per_cm3, relaxation.equilibrated_ps
    if density < _LEAST_DENSITY_G_PER_CM3:
        remedy = "lengthen equilibration_ps" if preparation.pressure_bar else "set pressure_bar, 0 keeps the volume"
        yield (
            f"density {density:.3f} g/cm3 after {length:g} ps, water has 1.0: {remedy}, "
            "or start the run at constant pressure"
        )


@dataclass(frozen=True)
class PreparationRecord:
    """One field for each kind of change, and what the finished box is.

    origin, sha256: the structure file, or the name of a built-in system
    metal_sites_in_file, metal_sites: ligand distances before and after the classical force field
    ion_charges: the charge taken for each ion of the solute [e], such as {"ZN A:262": 2}
    ligands: small molecules that were kept
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
    ligands: tuple[KeptLigand, ...]
    protonation: tuple[Protonation, ...]
    disulfides: tuple[str, ...]
    metal_sites_in_file: tuple[MetalSite, ...]
    metal_sites: tuple[MetalSite, ...]
    ion_charges: Mapping[str, int]
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
