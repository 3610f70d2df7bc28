"""Deviation from the crystal structure: does the simulation stay close to what was measured?"""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.chains import list_residues, name_topology_chains, pair_chains
from orbmm.analysis.geometry.images import Assembler
from orbmm.analysis.reading.frames import Frames
from orbmm.analysis.result import Result
from orbmm.analysis.structure.rmsd import (
    choose_groups,
    collect_deviations,
    measure_deviations,
    name_groups,
    require_large_molecules,
)
from orbmm.errors import AnalysisError
from orbmm.kinds import find_parent, is_heavy

AtomName = tuple[str, str, int, str]
"""Chain, residue, number, atom."""

_METHOD = (
    "Root-mean-square deviation of the large molecules of the solute from the crystal structure {name} "
    "after optimal superposition on the same "
    "atoms (Kabsch 1976, in double precision), molecules made whole across the periodic box: {parts}, "
    "all with equal weight. "
    "{matched} of {heavy} heavy atoms "
    "of the solute were found in the crystal structure by chain, residue name, number and atom name{first}; "
    "the others are left out. Of atoms with two locations the first one counts."
)


def compute_crystal_rmsd(
    frames: Frames, crystal: md.Trajectory, name: str = "", site: NDArray[np.int64] | None = None
) -> Result:
    """Compute RMSD of backbone, heavy atoms and binding site from a crystal structure along time [Å].

    frames: a trajectory, in memory or on disk, of all atoms. crystal: one frame, of other atoms as well; they are
    matched. name: what the structure is called. site: atoms of the binding site; absent, it is left out.
    Raises NothingToMeasure without a solute, AnalysisError when fewer than three atoms match.
    """
    solute = require_large_molecules(frames.topology)
    part = frames.topology.subset(solute)
    rows, partners = match_atoms(part, crystal.topology)
    if len(rows) < 3:
        raise AnalysisError(
            f"crystal structure {name}: {len(rows)} heavy atoms match the simulated ones by residue name, number and "
            "atom name, expected at least 3; give the entry that the system was prepared from"
        )
    found = dict(zip(rows.tolist(), partners.tolist(), strict=True))
    everything = choose_groups(part, None if site is None else np.flatnonzero(np.isin(solute, site)))
    groups = {group: atoms[np.isin(atoms, rows)] for group, atoms in everything.items()}
    groups = {group: atoms for group, atoms in groups.items() if len(atoms) >= 3}
    references = {
        group: md.Trajectory(crystal.xyz[:1, [found[row] for row in atoms.tolist()]], part.subset(atoms))
        for group, atoms in groups.items()
    }
    times, columns = measure_deviations(frames, groups, references, Assembler())
    missing = np.setdiff1d(everything["heavy_atoms"], rows)
    first = f" (first without: {part.atom(int(missing[0]))})" if len(missing) else ""
    told = {"name": name, "parts": name_groups(groups), "matched": len(rows), "first": first}
    method = _METHOD.format(heavy=len(everything["heavy_atoms"]), **told)
    return collect_deviations("crystal_rmsd", method, times, columns)


def match_atoms(topology: md.Topology, crystal: md.Topology) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return heavy atoms of one topology, ascending, and their partners in the other, by chain, residue name, number
    and atom name.

    Chains are paired by their letters where their residues agree, else in order.
    """
    chains = pair_chains(list_residues(topology), list_residues(crystal))
    partners: dict[AtomName, int] = {}
    for index, name in _name_heavy(crystal):
        partners.setdefault(name, index)
    named = (
        (index, (chains.get(name[0], ""), *name[1:])) for index, name in _name_heavy(topology) if name[0] in chains
    )
    pairs = [(index, partners[name]) for index, name in named if name in partners]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _name_heavy(topology: md.Topology) -> list[tuple[int, AtomName]]:
    chains = name_topology_chains(topology)
    return [
        (
            atom.index,
            (chains[atom.residue.chain.index], find_parent(atom.residue.name), atom.residue.resSeq, atom.name),
        )
        for atom in topology.atoms
        if is_heavy(atom)
    ]
