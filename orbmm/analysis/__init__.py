"""From a trajectory to numbers: one function per observable, each returning a Result with units and method."""

from orbmm.analysis.analyze import Analysis, analyze_recording, check_files, list_files, write_analysis
from orbmm.analysis.follow import Look, follow_run
from orbmm.analysis.geometry.images import find_solute, mend_images
from orbmm.analysis.reading.b_factors import read_b_factors, write_b_factors
from orbmm.analysis.reading.run_folder import Recording, read_plain_trajectory, read_run_folder, read_structure
from orbmm.analysis.result import Result, read_result
from orbmm.analysis.run.confidence import measure_confidence
from orbmm.analysis.run.energy import measure_energy
from orbmm.analysis.run.equipartition import measure_equipartition
from orbmm.analysis.run.temperature import Bath, measure_temperature
from orbmm.analysis.site.binding_site import find_binding_site, select_atoms
from orbmm.analysis.site.bond_events import find_bond_events
from orbmm.analysis.site.carbon_dioxide import follow_carbon_dioxide
from orbmm.analysis.site.metal_site import measure_metal_site
from orbmm.analysis.site.protonation import follow_protons
from orbmm.analysis.site.water_wire import find_water_wire
from orbmm.analysis.solvent.density import compute_density
from orbmm.analysis.solvent.diffusion import compute_diffusion
from orbmm.analysis.solvent.hydrogen_bonds import count_hydrogen_bonds
from orbmm.analysis.solvent.radial import compute_oxygen_hydrogen, compute_water_distribution
from orbmm.analysis.statistics import BlockAverage, average_blocks, find_equilibration
from orbmm.analysis.structure.angles import measure_angles
from orbmm.analysis.structure.bonds import measure_bonds
from orbmm.analysis.structure.crystal_rmsd import compute_crystal_rmsd
from orbmm.analysis.structure.native_contacts import compute_native_contacts
from orbmm.analysis.structure.radius_of_gyration import compute_gyration
from orbmm.analysis.structure.ramachandran import compute_ramachandran
from orbmm.analysis.structure.rmsd import compute_rmsd
from orbmm.analysis.structure.rmsf import compute_fluctuation
from orbmm.analysis.structure.secondary_structure import compute_secondary_structure
from orbmm.analysis.verdict import Limits, Verdict, judge
from orbmm.run_files.confidence import ConfidenceFile, read_confidence

__all__ = [
    "Analysis",
    "Bath",
    "BlockAverage",
    "ConfidenceFile",
    "Limits",
    "Look",
    "Recording",
    "Result",
    "Verdict",
    "analyze_recording",
    "average_blocks",
    "check_files",
    "compute_crystal_rmsd",
    "compute_density",
    "compute_diffusion",
    "compute_fluctuation",
    "compute_gyration",
    "compute_native_contacts",
    "compute_oxygen_hydrogen",
    "compute_ramachandran",
    "compute_rmsd",
    "compute_secondary_structure",
    "compute_water_distribution",
    "count_hydrogen_bonds",
    "find_binding_site",
    "find_bond_events",
    "find_equilibration",
    "find_solute",
    "find_water_wire",
    "follow_carbon_dioxide",
    "follow_protons",
    "follow_run",
    "judge",
    "list_files",
    "measure_angles",
    "measure_bonds",
    "measure_confidence",
    "measure_energy",
    "measure_equipartition",
    "measure_metal_site",
    "measure_temperature",
    "mend_images",
    "read_b_factors",
    "read_confidence",
    "read_plain_trajectory",
    "read_result",
    "read_run_folder",
    "read_structure",
    "select_atoms",
    "write_analysis",
    "write_b_factors",
]
