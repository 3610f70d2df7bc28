"""Periodic images mended: molecules whole, the solute in the middle of the box."""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.kinds import is_water
from orbmm.analysis.geometry.pairs import find_widths

_SMALLEST_PART = 0.1  # of the largest solute molecule: smaller ones (ions, CO2) diffuse and are no part of its shape


def find_molecules(topology: md.Topology) -> list[NDArray[np.int64]]:
    """The atoms of each molecule, ascending, by the bonds of the topology; an atom without bonds is one by itself."""
    if topology.n_bonds == 0:
        return [np.array([index]) for index in range(topology.n_atoms)]
    return [np.array(sorted(atom.index for atom in molecule)) for molecule in topology.find_molecules()]


def find_solute(topology: md.Topology) -> NDArray[np.int64]:
    """The atoms of the solute: what is not water and no small free molecule or ion beside it; empty without any.

    A molecule belongs to it that has at least two atoms and a tenth of the atoms of the largest one, so that the
    chains of a protein do, and its ions and small ligands do not.
    """
    molecules = [atoms for atoms in find_molecules(topology) if not _is_water(topology, atoms)]
    largest = max((len(atoms) for atoms in molecules), default=0)
    parts = [atoms for atoms in molecules if len(atoms) > 1 and len(atoms) >= _SMALLEST_PART * largest]
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def make_molecules_whole(trajectory: md.Trajectory) -> md.Trajectory:
    """A copy with every molecule in one piece, the solute centred and the rest wrapped around it.

    Without a box or without bonds nothing can be mended and the copy is as given; without a solute molecules are
    only made whole. No distance between nearest images changes.
    """
    topology = trajectory.topology
    if trajectory.unitcell_lengths is None or topology.n_bonds == 0:
        return trajectory[:]
    solute = set(find_solute(topology).tolist())
    molecules = topology.find_molecules()
    anchors = [molecule for molecule in molecules if next(iter(molecule)).index in solute]
    if not anchors:
        return trajectory.make_molecules_whole()
    others = [molecule for molecule in molecules if molecule not in anchors]
    return trajectory.image_molecules(anchor_molecules=anchors, other_molecules=others)


def make_whole(solute: md.Trajectory) -> md.Trajectory:
    """A solute alone in one piece, somewhere: for what does not depend on place and orientation.

    A single molecule is only made whole, which is cheaper than to wrap it too, and returned as it is where no frame
    tears it; several are laid beside each other. What is given is left as it was.
    """
    if solute.unitcell_lengths is None or len(find_molecules(solute.topology)) > 1:
        return make_molecules_whole(solute)
    if not _is_torn(solute):
        return solute
    boxes = (solute.unitcell_lengths, solute.unitcell_angles)
    whole = md.Trajectory(solute.xyz.copy(), solute.topology, solute.time, *boxes)  # the topology is shared, not copied
    return whole.make_molecules_whole(inplace=True)


def _is_torn(solute: md.Trajectory) -> bool:
    """Tell whether any bond is too long to be sure that it joins nearest images."""
    bonds = np.array([(first.index, second.index) for first, second in solute.topology.bonds]).reshape(-1, 2)
    spans = solute.xyz[:, bonds[:, 0]]
    spans -= solute.xyz[:, bonds[:, 1]]  # (F, B, 3)
    sure = 0.5 * find_widths(solute.unitcell_vectors.astype(float)).min()
    return bool(np.einsum("fbi,fbi->fb", spans, spans).max(initial=0.0) >= sure**2)


def _is_water(topology: md.Topology, atoms: NDArray[np.int64]) -> bool:
    return bool(is_water(topology.atom(int(atoms[0])).residue))
