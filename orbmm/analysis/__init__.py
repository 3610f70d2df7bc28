"""From a trajectory to numbers: one function per observable, each returning a Result with units and method."""

from orbmm.analysis.analyze import Analysis, analyze_recording, write_analysis
from orbmm.analysis.blocks import BlockAverage, average_blocks, find_equilibration
from orbmm.analysis.bonds import measure_bonds
from orbmm.analysis.energy import measure_energy
from orbmm.analysis.images import find_solute, mend_images
from orbmm.analysis.radial import compute_water_distribution
from orbmm.analysis.result import Result, read_result
from orbmm.analysis.rmsd import compute_rmsd
from orbmm.analysis.run_folder import Recording, read_plain_trajectory, read_run_folder
from orbmm.analysis.temperature import Bath, measure_temperature
from orbmm.analysis.verdict import Limits, Verdict, judge

__all__ = [
    "Analysis",
    "Bath",
    "BlockAverage",
    "Limits",
    "Recording",
    "Result",
    "Verdict",
    "analyze_recording",
    "average_blocks",
    "compute_rmsd",
    "compute_water_distribution",
    "find_equilibration",
    "find_solute",
    "judge",
    "measure_bonds",
    "measure_energy",
    "measure_temperature",
    "mend_images",
    "read_plain_trajectory",
    "read_result",
    "read_run_folder",
    "write_analysis",
]
