"""The B-factors of each residue of a crystal structure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mdtraj.formats.pdb.pdbstructure import PdbStructure

from orbmm.errors import AnalysisError


def read_b_factors(path: Path) -> Mapping[tuple[str, int], float]:
    """B-factor [Å^2] of the C-alpha atom of each residue, by residue name and number, the first chain that has it.

    path: a PDB file. Raises AnalysisError for a file that is missing or has no C-alpha atoms with B-factors.
    """
    if not path.is_file():
        raise AnalysisError(f"{path}: cannot be read as a crystal structure (no such file); give a PDB file")
    try:
        with path.open(encoding="utf-8") as file:
            structure = PdbStructure(file)
        factors: dict[tuple[str, int], float] = {}
        for residue in structure.iter_residues():
            for atom in residue.iter_atoms():
                if atom.get_name() == "CA" and residue.name != "CA":
                    factors.setdefault((residue.name, residue.number), float(atom.temperature_factor))
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise AnalysisError(f"{path}: cannot be read as a crystal structure ({error}); give a PDB file") from error
    if not any(factors.values()):
        raise AnalysisError(f"{path}: has no B-factors of C-alpha atoms; give the PDB entry of the crystal structure")
    return factors
