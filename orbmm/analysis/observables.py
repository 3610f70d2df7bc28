"""The observables that an analysis measures, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.b_factors import find_b_factors
from orbmm.analysis.reading.frames import Frames
from orbmm.analysis.reading.run_folder import Recording, read_structure
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.run.confidence import compute_confidence
from orbmm.analysis.run.energy import compute_energy
from orbmm.analysis.run.equipartition import compute_equipartition
from orbmm.analysis.run.temperature import Bath, compute_temperature
from orbmm.analysis.site.binding_site import find_binding_site
from orbmm.analysis.site.bond_events import compute_bond_events
from orbmm.analysis.site.carbon_dioxide import compute_carbon_dioxide
from orbmm.analysis.site.metal_site import compute_metal_site
from orbmm.analysis.site.protonation import compute_protonation
from orbmm.analysis.site.water_wire import compute_water_wire
from orbmm.analysis.solvent.density import compute_density
from orbmm.analysis.solvent.diffusion import compute_diffusion
from orbmm.analysis.solvent.hydrogen_bonds import compute_hydrogen_bonds
from orbmm.analysis.solvent.radial import compute_rdf_oh, compute_rdf_oo
from orbmm.analysis.structure.angles import compute_angles
from orbmm.analysis.structure.bonds import compute_bonds
from orbmm.analysis.structure.crystal_rmsd import compute_crystal_rmsd
from orbmm.analysis.structure.native_contacts import compute_native_contacts
from orbmm.analysis.structure.radius_of_gyration import compute_radius_of_gyration
from orbmm.analysis.structure.ramachandran import compute_ramachandran
from orbmm.analysis.structure.rmsd import compute_rmsd
from orbmm.analysis.structure.rmsf import compute_rmsf
from orbmm.analysis.structure.secondary_structure import compute_secondary_structure
from orbmm.run_files.confidence import DATA_FILE
from orbmm.settings import AnalysisSettings

__all__ = [
    "Bath",
    "compute_angles",
    "compute_bond_events",
    "compute_bonds",
    "compute_carbon_dioxide",
    "compute_confidence",
    "compute_crystal_rmsd",
    "compute_density",
    "compute_diffusion",
    "compute_energy",
    "compute_equipartition",
    "compute_hydrogen_bonds",
    "compute_metal_site",
    "compute_native_contacts",
    "compute_protonation",
    "compute_radius_of_gyration",
    "compute_ramachandran",
    "compute_rdf_oh",
    "compute_rdf_oo",
    "compute_rmsd",
    "compute_rmsf",
    "compute_secondary_structure",
    "compute_temperature",
    "compute_water_wire",
    "find_binding_site",
]
"""What orbmm.analysis offers to scripts besides reading and writing."""

Measures = dict[str, Callable[[], Result]]
FROM_A_RUN = {
    "temperature": "the energies.csv of a run folder",
    "energy": "the energies.csv of a run folder",
    "equipartition": "the velocities in the checkpoints of a run folder",
    "confidence": f"the {DATA_FILE} of a run that wrote it",
}
"""What no trajectory holds, and where it comes from."""
NEED_TIMES = ("diffusion", "bond_events", "protonation")
"""What is not measured on frames without times; the others only show numbers of frames in their place."""


def plan_measures(
    recording: Recording, cut_ps: float, crystal: Path | None = None, site: str | None = None
) -> Measures:
    """Return every observable by name; each raises NothingToMeasure when the system has no part that it speaks of.

    cut_ps: start that averages leave out [ps]; what is shown along time covers the whole run.
    crystal: PDB file to compare shape with, and fluctuation if it has B-factors. site: selection of the binding site in
    mdtraj's language; absent, the settings' or what lies around the metal.
    Raises AnalysisError for a crystal structure or a selection that cannot be read, or a selection that is empty.
    """
    settings = recording.settings.analysis if recording.settings else AnalysisSettings()
    frames, start = recording.frames, recording.start
    reference = recording.pick_frame_atoms(read_structure(settings.reference)) if settings.reference else start
    factors = find_b_factors(crystal) if crystal else None
    pocket = find_binding_site(start, site or settings.binding_site)
    measures: Measures = {
        "rmsd": partial(compute_rmsd, frames, reference, pocket),
        **_plan_crystal(frames, crystal, pocket),
        "bonds": partial(compute_bonds, frames, start, settings.broken_bond_factor),
        "angles": partial(compute_angles, frames, start),
        **_plan_run(recording, cut_ps),
        "radius_of_gyration": partial(compute_radius_of_gyration, frames),
        "rmsf": partial(compute_rmsf, frames, factors, cut_ps),
        "secondary_structure": partial(compute_secondary_structure, frames),
        "native_contacts": partial(compute_native_contacts, frames, start),
        "ramachandran": partial(compute_ramachandran, frames),
        "metal_site": partial(compute_metal_site, frames),
        "carbon_dioxide": partial(compute_carbon_dioxide, frames),
        "protonation": partial(compute_protonation, frames),
        "water_wire": partial(compute_water_wire, frames),
        "bond_events": partial(compute_bond_events, frames),
        "rdf_oo": partial(compute_rdf_oo, frames, settings.rdf_cutoff_nm, cut_ps),
        "rdf_oh": partial(compute_rdf_oh, frames, settings.rdf_cutoff_nm, cut_ps),
        "hydrogen_bonds": partial(compute_hydrogen_bonds, frames),
        "density": partial(compute_density, frames, recording.all_atoms.topology),
        "diffusion": partial(compute_diffusion, frames, cut_ps, _find_kelvin(recording)),
    }
    if not frames.timed:
        measures |= dict.fromkeys(NEED_TIMES, _leave_out)
    return measures


def _leave_out() -> Result:
    raise NothingToMeasure("it needs times, which the file does not hold; give --frame-ps")


def _plan_crystal(frames: Frames, crystal: Path | None, site: NDArray[np.int64]) -> Measures:
    if crystal is None:
        return {}
    return {"crystal_rmsd": partial(compute_crystal_rmsd, frames, read_structure(crystal), crystal.name, site)}


def _plan_run(recording: Recording, cut_ps: float) -> Measures:
    """Plan the observables that need a run folder: energies, velocities, confidence."""
    energies, topology, bath = recording.energies, recording.all_atoms.topology, _read_bath(recording)
    measures: Measures = {}
    if energies is not None:
        measures["temperature"] = partial(compute_temperature, energies, topology.n_atoms, cut_ps, bath)
        measures["energy"] = partial(compute_energy, energies, topology.n_atoms, cut_ps)
    if recording.checkpoints is not None:
        heavy = recording.settings.production.hydrogen_mass_amu if recording.settings else None
        measures["equipartition"] = partial(compute_equipartition, recording.checkpoints, topology, cut_ps, heavy)
    if recording.confidence is not None:
        measures["confidence"] = partial(compute_confidence, recording.confidence, topology, cut_ps)
    return measures


def _read_bath(recording: Recording) -> Bath | None:
    if recording.settings is None:
        return None
    production = recording.settings.production
    return Bath(production.temperature_kelvin, production.friction_per_ps)


def _find_kelvin(recording: Recording) -> float:
    bath = _read_bath(recording)
    return bath.kelvin if bath else 300.0
