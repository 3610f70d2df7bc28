"""The atoms of the binding site: those around the metal, or those of a selection."""

from __future__ import annotations

import re

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import find_large_molecules
from orbmm.analysis.geometry.pairs import find_pairs
from orbmm.analysis.reading.frames import iterate_frames
from orbmm.analysis.site.metal_site import find_metals
from orbmm.errors import AnalysisError, quote_reason
from orbmm.kinds import is_heavy

AROUND_METAL_NM = 0.5
_SELECTION_ERRORS = (
    ValueError, SyntaxError, TypeError, AttributeError, NameError, LookupError, ArithmeticError, RuntimeError, re.error,
)  # fmt: skip


def find_binding_site(start: md.Trajectory, selection: str | None = None) -> NDArray[np.int64]:
    """Return heavy atoms of the solute's residues with one within 5 Å of a metal; with a selection, those of its
    residues.

    start: one frame of all atoms. selection: in mdtraj's language, such as "resSeq 94 96 119" or "resname LIG".
    Empty without a selection and without a metal.
    Raises AnalysisError for a selection that cannot be read or that matches no heavy atom of the solute.
    """
    topology = start.topology
    solute = find_large_molecules(topology)
    heavy = np.array([i for i in solute.tolist() if is_heavy(topology.atom(i))], dtype=np.int64)
    owner = np.array([topology.atom(i).residue.index for i in heavy.tolist()], dtype=np.int64)
    if selection is not None:
        chosen = {topology.atom(int(index)).residue.index for index in select_atoms(topology, selection)}
        site = heavy[np.isin(owner, list(chosen))]
        if len(site) == 0:
            raise AnalysisError(f"the selection '{selection}' matches no heavy atom of the solute; give another --site")
        return site
    metals = find_metals(topology)
    if not metals or len(heavy) == 0:
        return np.zeros(0, dtype=np.int64)
    _, positions, box = next(iterate_frames(start))
    near = find_pairs(positions[metals], positions[heavy], box, AROUND_METAL_NM).second
    return heavy[np.isin(owner, owner[near])]


def select_atoms(topology: md.Topology, selection: str) -> NDArray[np.int64]:
    """Return the atoms of a selection in mdtraj's language.

    Raises AnalysisError for one that cannot be read or is empty.
    """
    try:
        atoms = topology.select(selection)
    except _SELECTION_ERRORS as error:
        raise AnalysisError(
            f"the selection '{selection}' cannot be read{quote_reason(error)}; "
            "write it as mdtraj does, such as 'resSeq 94 96'"
        ) from error
    if len(atoms) == 0:
        raise AnalysisError(f"the selection '{selection}' matches no atom of the topology; give another")
    return np.asarray(atoms, dtype=np.int64)
