"""Periodic images matched: molecules whole, the large ones of the solute in the middle of the box."""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orbmm.analysis.geometry.assembly import Joints, find_joints, place_molecules
from orbmm.analysis.geometry.pairs import find_widths
from orbmm.kinds import find_solute

_SMALLEST_PART = 0.1  # of the largest solute molecule: smaller ones (ions, CO2) diffuse and are no part of its shape


def list_bonds(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of every bond of the topology (B, 2)."""
    return np.array([(first.index, second.index) for first, second in topology.bonds], dtype=np.int64).reshape(-1, 2)


def label_molecules(topology: md.Topology) -> NDArray[np.int64]:
    """Return the number of the molecule of each atom (N,), by the bonds; they count in the order of first atoms."""
    pairs = list_bonds(topology)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(topology.n_atoms, topology.n_atoms))
    labels = connected_components(graph, directed=False)[1]
    first = np.unique(labels, return_index=True)[1]
    return np.asarray(np.argsort(np.argsort(first))[labels], dtype=np.int64)


def find_molecules(topology: md.Topology) -> list[NDArray[np.int64]]:
    """Return the atoms of each molecule, ascending, by the bonds of the topology; one without bonds is alone."""
    if topology.n_atoms == 0:
        return []
    labels = label_molecules(topology)
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])


def find_large_molecules(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of the large molecules of the solute, whose shape is measured; empty without any.

    They have at least two atoms and a tenth of the atoms of the largest one: the chains of a protein, but not its ions
    and small ligands, which may diffuse. Beside a molecule of several residues, one of a single residue is a ligand,
    however short the peptide.
    """
    inside = set(find_solute(topology).tolist())
    molecules = [atoms for atoms in find_molecules(topology) if int(atoms[0]) in inside]
    chains = [atoms for atoms in molecules if len({topology.atom(int(index)).residue.index for index in atoms}) > 1]
    molecules = chains or molecules
    largest = max((len(atoms) for atoms in molecules), default=0)
    parts = [atoms for atoms in molecules if len(atoms) > 1 and len(atoms) >= _SMALLEST_PART * largest]
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def make_molecules_whole(trajectory: md.Trajectory) -> md.Trajectory:
    """Return a copy with every molecule in one piece, the solute centred and the rest wrapped around it.

    Without a box or without bonds nothing can be matched and the copy is as given; without a solute molecules are
    only made whole. No distance between nearest images changes.
    """
    return Assembler().make_whole(trajectory)


class Assembler:
    """Makes molecules whole in chunk after chunk of the same atoms, those of the solute laid beside each other alike.

    Which atoms lie beside each other is found in the first frame that it is given.
    """

    def __init__(self) -> None:
        self._joints: Joints | None = None
        self._parts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def make_whole(self, trajectory: md.Trajectory) -> md.Trajectory:
        """Return a copy as `make_molecules_whole` does."""
        topology = trajectory.topology
        if trajectory.unitcell_lengths is None or topology.n_bonds == 0:
            return trajectory[:]
        if self._parts is None:
            self._parts = label_molecules(topology), find_large_molecules(topology)
        whole = _join_molecules(trajectory)
        if len(self._parts[1]):
            for frame, box in enumerate(trajectory.unitcell_vectors.astype(float)):
                whole.xyz[frame] = self._arrange(whole.xyz[frame].astype(float), box, *self._parts)
        return whole

    def make_shape_whole(self, solute: md.Trajectory) -> md.Trajectory:
        """Return a solute alone in one piece, somewhere: for what does not depend on place and orientation.

        A single molecule is only made whole, which is cheaper than to wrap it too, and returned as it is where no frame
        tears it; several are laid beside each other. What is given is left as it was.
        """
        if solute.unitcell_lengths is None or label_molecules(solute.topology).max(initial=0) > 0:
            return self.make_whole(solute)
        return _join_molecules(solute) if _is_torn(solute) else solute

    def _arrange(
        self,
        positions: NDArray[np.float64],
        box: NDArray[np.float64],
        labels: NDArray[np.int64],
        solute: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return positions (N, 3) [nm] with the solute's molecules beside each other in the middle of the box.

        Molecules are whole. labels: (N,) the molecule of each atom. Others are wrapped into the box by their centres.
        """
        owner = np.unique(labels[solute], return_inverse=True)[1]
        placed = positions[solute]
        if owner.max() > 0:
            self._joints = self._joints or find_joints(placed, box, owner)
            placed = placed + place_molecules(placed, box, owner, self._joints)[owner]
        move = 0.5 * np.diag(box) - placed.mean(axis=0)
        counts = np.bincount(labels)
        centers = np.stack([np.bincount(labels, positions[:, axis]) / counts for axis in range(3)], axis=1)  # (M, 3)
        inside = centers + move
        for axis in (2, 1, 0):  # a box vector has no parts along later axes
            inside = inside - np.floor(inside[:, [axis]] / box[axis, axis]) * box[axis]
        arranged = positions + (inside - centers)[labels]
        arranged[solute] = placed + move
        return arranged


def make_whole(solute: md.Trajectory) -> md.Trajectory:
    """Return a solute alone in one piece, somewhere; see `Assembler.make_shape_whole`."""
    return Assembler().make_shape_whole(solute)


def _join_molecules(trajectory: md.Trajectory) -> md.Trajectory:
    """Return a copy with every molecule in one piece; the topology is shared, not copied."""
    boxes = (trajectory.unitcell_lengths, trajectory.unitcell_angles)
    copy = md.Trajectory(trajectory.xyz.copy(), trajectory.topology, trajectory.time, *boxes)
    return copy.make_molecules_whole(inplace=True)


def _is_torn(solute: md.Trajectory) -> bool:
    """Tell whether any bond is too long to be sure that it joins nearest images."""
    bonds = list_bonds(solute.topology)
    spans = solute.xyz[:, bonds[:, 0]]
    spans -= solute.xyz[:, bonds[:, 1]]  # (F, B, 3)
    sure = 0.5 * find_widths(solute.unitcell_vectors.astype(float)).min()
    return bool(np.einsum("fbi,fbi->fb", spans, spans).max(initial=0.0) >= sure**2)
