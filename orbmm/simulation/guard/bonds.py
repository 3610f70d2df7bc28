"""Whether the covalent bonds of the start are still there."""

from __future__ import annotations

import logging

import numpy as np
from openmm import app
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orbmm.simulation.guard.atom_names import name_atoms

_LOG = logging.getLogger(__name__)
_NON_METALS = frozenset(["H", "D", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Se", "Br", "I"])
_SHORTEST_NM = 0.09  # no bond is shorter at rest than 0.09 nm but that of hydrogen gas; a poor start may squeeze one


class BondWatch:
    """The bonds of the topology, none to metals, with the longest that each may become."""

    def __init__(self, topology: app.Topology, positions: np.ndarray, box: np.ndarray | None, factor: float) -> None:
        """positions: (N, 3) at the start [nm]; box: (3, 3) rows [nm] or None; factor: of the length at the start."""
        self._topology = topology
        pairs = [sorted((one.index, other.index)) for one, other in topology.bonds() if _is_covalent(one, other)]
        self._pairs = np.array(pairs, dtype=np.intp).reshape(-1, 2)  # (B, 2)
        self._start = np.maximum(self._measure(positions, box), _SHORTEST_NM)  # (B,)
        self._factor = factor
        if topology.getNumAtoms() > 1 and not pairs:
            _LOG.warning("the topology has no bonds, so that none is watched; a PDB needs CONECT or standard residues")

    def find_fault(self, positions: np.ndarray, box: np.ndarray | None) -> str | None:
        """A sentence about the bond that is stretched most beyond its limit, or None if all are whole."""
        lengths = self._measure(positions, box)
        broken = np.flatnonzero(~(lengths <= self._factor * self._start))
        if not broken.size:
            return None
        worst = broken[np.argmax(lengths[broken] / self._start[broken])]
        others = f", {broken.size - 1} more bonds as well" if broken.size > 1 else ""
        return (
            f"the bond of {name_atoms(self._topology, self._pairs[worst])} is broken: {lengths[worst]:.3f} nm long, "
            f"{lengths[worst] / self._start[worst]:.1f} times its length at the start{others}"
            f"{self._describe_fragments(broken)}"
        )

    def _measure(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """Lengths (B,) [nm] between nearest images."""
        vectors = positions[self._pairs[:, 1]] - positions[self._pairs[:, 0]]
        if box is not None:
            vectors = vectors - np.round(vectors @ np.linalg.inv(box)) @ box
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))

    def _describe_fragments(self, broken: np.ndarray) -> str:
        """Which molecules are no longer in one piece without these bonds, by the residue of the break."""
        atoms = list(self._topology.atoms())
        left = np.delete(self._pairs, broken, axis=0)
        graph = coo_array((np.ones(len(left)), (left[:, 0], left[:, 1])), shape=(len(atoms), len(atoms)))
        piece = connected_components(graph, directed=False)[1]
        apart = [atoms[one].residue for one, other in self._pairs[broken] if piece[one] != piece[other]]
        if not apart:
            return ""
        more = f", {len(apart) - 1} more breaks" if len(apart) > 1 else ""
        return f"; the molecule falls apart at {apart[0].name} {apart[0].id}{more}"


def _is_covalent(one: app.topology.Atom, other: app.topology.Atom) -> bool:
    return all(atom.element is not None and atom.element.symbol in _NON_METALS for atom in (one, other))
