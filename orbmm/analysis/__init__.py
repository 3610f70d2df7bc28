"""From a trajectory to numbers: one function per observable, each returning a Result with units and method."""

from orbmm.analysis import observables
from orbmm.analysis.analyze import Analysis, analyze_recording, check_files, list_files, write_analysis
from orbmm.analysis.follow import Update, follow_run
from orbmm.analysis.geometry.images import find_large_molecules, make_molecules_whole
from orbmm.analysis.observables import *  # every compute_* function, named there once
from orbmm.analysis.pieces import Workers, open_workers
from orbmm.analysis.reading.b_factors import read_b_factors, write_b_factors
from orbmm.analysis.reading.run_folder import Recording, read_plain_trajectory, read_run_folder, read_structure
from orbmm.analysis.result import Result, read_result
from orbmm.analysis.site.binding_site import select_atoms
from orbmm.analysis.statistics import BlockAverage, average_blocks, find_equilibration
from orbmm.analysis.verdict import Limits, Verdict, judge
from orbmm.kinds import find_solute
from orbmm.run_files.confidence import ConfidenceFile, read_confidence

__all__ = [
    "Analysis",
    "BlockAverage",
    "ConfidenceFile",
    "Limits",
    "Recording",
    "Result",
    "Update",
    "Verdict",
    "Workers",
    "analyze_recording",
    "average_blocks",
    "check_files",
    "find_equilibration",
    "find_large_molecules",
    "find_solute",
    "follow_run",
    "judge",
    "list_files",
    "make_molecules_whole",
    "open_workers",
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
__all__ += observables.__all__
