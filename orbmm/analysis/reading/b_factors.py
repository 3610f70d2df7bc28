"""Numbers of atoms written as B-factors, the column that every viewer can colour by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mdtraj as md
import numpy as np
from mdtraj.formats.pdb.pdbstructure import Chain, PdbStructure
from numpy.typing import NDArray

from orbmm.analysis.geometry.chains import name_chains
from orbmm.analysis.reading.opening import READING_ERRORS, explain_failure
from orbmm.errors import AnalysisError
from orbmm.kinds import find_parent

MOST_ATOMS_IN_PDB = 99_999
_BELOW = 100.0  # of what fits the column


def choose_suffix(atoms: int) -> str:
    """Return .pdb, or .cif for more atoms than a PDB file can number."""
    return ".pdb" if atoms <= MOST_ATOMS_IN_PDB else ".cif"


def write_b_factors(frame: md.Trajectory, values: NDArray[np.float64], path: Path) -> None:
    """Write one frame as PDB or, by its suffix .cif, as mmCIF with a number for each atom in the B-factor column.

    values: (N,), from -10 to 99.99. Raises AnalysisError for other values or atoms, or when it cannot be written.
    """
    if values.shape != (frame.n_atoms,) or not np.all((values > -10.0) & (values < _BELOW)):
        raise AnalysisError(
            f"{path}: B-factors must be {frame.n_atoms} numbers between -10 and {_BELOW:g}; got {values.size}, from "
            f"{values.min(initial=np.inf):g} to {values.max(initial=-np.inf):g}"
        )
    try:
        if path.suffix == ".cif":
            frame[0].save_cif(str(path), bfactors=values, keepIds=True)
        else:
            frame[0].save_pdb(str(path), bfactors=values)
    except OSError as error:
        raise AnalysisError(f"{path}: the structure cannot be written ({error}); give --output") from error


def read_b_factors(path: Path) -> Mapping[tuple[str, str, int], float]:
    """Return B-factor [Å^2] of the C-alpha atom of each residue, by chain, name of the amino acid, and number.

    path: a PDB file. Raises AnalysisError for a file that is missing or has no C-alpha atoms with B-factors.
    """
    found = find_b_factors(path)
    if found is None:
        raise _refuse(path)
    return found


def find_b_factors(path: Path) -> Mapping[tuple[str, str, int], float] | None:
    """Return what read_b_factors does, or None for a structure without B-factors, such as one by NMR.

    path: a PDB file. Raises AnalysisError for a file that is missing, cannot be read or has no C-alpha atoms.
    """
    if not path.is_file():
        raise AnalysisError(f"{path}: cannot be read as a crystal structure (no such file); give a PDB file")
    try:
        with path.open(encoding="utf-8") as file:
            structure = PdbStructure(file)
        chains = [(chain.chain_id.strip(), _read_chain(chain)) for chain in structure.iter_chains()]
    except READING_ERRORS as error:
        reason = explain_failure(error, path)
        raise AnalysisError(f"{path}: cannot be read as a crystal structure{reason}; give a PDB file") from error
    names = name_chains((letter, factors.keys()) for letter, factors in chains)
    found = {
        (name, *residue): factor
        for name, (_, factors) in zip(names, chains, strict=True)
        for residue, factor in factors.items()
    }
    if not found:
        raise _refuse(path)
    return found if any(found.values()) else None


def _refuse(path: Path) -> AnalysisError:
    return AnalysisError(f"{path}: has no B-factors of C-alpha atoms; give the PDB entry of the crystal structure")


def _read_chain(chain: Chain) -> dict[tuple[str, int], float]:
    """Return the B-factor of the first C-alpha atom of each residue, by name of the amino acid, and number."""
    factors: dict[tuple[str, int], float] = {}
    for residue in chain.iter_residues():
        for atom in residue.iter_atoms():
            if atom.get_name() == "CA" and residue.name != "CA":
                factors.setdefault((find_parent(residue.name), residue.number), float(atom.temperature_factor))
    return factors
