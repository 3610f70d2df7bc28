"""Several molecules laid beside each other: each in the image nearest to one that is already in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from orbmm.analysis.geometry.pairs import add_images, find_widths, shorten, wrap

_TOUCH_NM = 0.35  # within which neighbours are looked for first, among all atoms
_FINENESS = 3.0  # parts of a larger cutoff, in which one atom of each molecule is enough


@dataclass(frozen=True)
class Joints:
    """The atoms by which molecules are laid beside each other (M - 1,), a molecule after the one that it is laid to.

    parents, children: atoms. of_parents, of_children: their molecules.
    """

    parents: NDArray[np.int64]
    children: NDArray[np.int64]
    of_parents: NDArray[np.int64]
    of_children: NDArray[np.int64]


def find_joints(positions: NDArray[np.float64], box: NDArray[np.float64], owner: NDArray[np.int64]) -> Joints:
    """Return the joints of molecules: the shortest tree of distances between their nearest atoms, from the first on.

    positions: (A, 3) [nm], molecules whole; owner: (A,) the molecule of each atom, from 0 on. Time grows with the
    number of atoms.
    """
    count = int(owner.max()) + 1
    edges = _find_edges(positions, box, owner)
    tree = minimum_spanning_tree(edges.weigh(edges.lengths + 1e-9, count).tocsr())  # zeros would be no edges
    rows = edges.weigh(np.arange(len(edges.lengths)) + 1, count).tocsr()
    order, before = breadth_first_order(tree, 0, directed=False)
    ends = []
    for molecule in order[1:].tolist():
        parent = int(before[molecule])
        atoms = edges.atoms[int(rows[min(parent, molecule), max(parent, molecule)]) - 1].tolist()
        ends.append(atoms if parent < molecule else atoms[::-1])
    parents, children = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    return Joints(parents, children, owner[parents], owner[children])


def place_molecules(
    positions: NDArray[np.float64], box: NDArray[np.float64], owner: NDArray[np.int64], joints: Joints | None = None
) -> NDArray[np.float64]:
    """Return whole box vectors (M, 3) [nm] that lay molecules beside each other; the first one stays.

    positions, owner: as in `find_joints`. joints: of another moment, so that frames are laid alike; None: of this one.
    """
    shifts = np.zeros((int(owner.max()) + 1, 3))
    joints = joints or find_joints(positions, box, owner)
    apart = positions[joints.children] - positions[joints.parents]
    steps = _shorten_far(apart, box) - apart
    for step, parent, child in zip(steps, joints.of_parents.tolist(), joints.of_children.tolist(), strict=True):
        shifts[child] = shifts[parent] + step
    return shifts


@dataclass(frozen=True)
class _Edges:
    """Pairs of molecules (E, 2), ascending and each once, their distances (E,) [nm], and their nearest atoms (E, 2)."""

    pairs: NDArray[np.int64]
    lengths: NDArray[np.float64]
    atoms: NDArray[np.int64]

    def join(self, other: _Edges) -> _Edges:
        """Return the edges of both, of each pair the shorter one."""
        pairs = np.concatenate([self.pairs, other.pairs])
        lengths, atoms = np.concatenate([self.lengths, other.lengths]), np.concatenate([self.atoms, other.atoms])
        return _keep_shortest(pairs, lengths, atoms)

    def weigh(self, weights: NDArray[np.float64] | NDArray[np.int64], count: int) -> coo_array:
        """Return the graph of the edges with a weight for each."""
        return coo_array((weights, (self.pairs[:, 0], self.pairs[:, 1])), shape=(count, count))


def _keep_shortest(pairs: NDArray[np.int64], lengths: NDArray[np.float64], atoms: NDArray[np.int64]) -> _Edges:
    order = np.argsort(lengths, kind="stable")
    keys = pairs[order, 0] * (pairs.max(initial=0) + 1) + pairs[order, 1]
    rows = order[np.unique(keys, return_index=True)[1]]
    return _Edges(pairs[rows], lengths[rows], atoms[rows])


def _find_edges(positions: NDArray[np.float64], box: NDArray[np.float64], owner: NDArray[np.int64]) -> _Edges:
    """Return edges that join all molecules: from all atoms first, then further away from ever fewer of them."""
    count, widest = int(owner.max()) + 1, float(find_widths(box[None]).min())
    cutoff, everything = min(_TOUCH_NM, widest), np.arange(len(owner))
    edges = _search(positions, box, owner, everything, cutoff)
    while connected_components(edges.weigh(edges.lengths + 1.0, count), directed=False)[0] > 1:
        if cutoff == widest:
            return edges.join(_list_centers(positions, box, owner, widest))
        cutoff = min(2.0 * cutoff, widest)
        kept = _thin_out(positions, owner, cutoff / _FINENESS)
        edges = edges.join(_search(positions, box, owner, kept, cutoff))
    return edges


def _search(
    positions: NDArray[np.float64],
    box: NDArray[np.float64],
    owner: NDArray[np.int64],
    kept: NDArray[np.int64],
    cutoff: float,
) -> _Edges:
    """Return the edges between molecules with kept atoms within the cutoff, at most the smallest width of the box."""
    images, origin = add_images(wrap(positions[kept], box), box, cutoff)
    origin = kept[origin]
    found = cKDTree(images).query_pairs(cutoff, output_type="ndarray")
    found = found[owner[origin[found[:, 0]]] != owner[origin[found[:, 1]]]]
    swap = owner[origin[found[:, 0]]] > owner[origin[found[:, 1]]]
    found[swap] = found[swap, ::-1]
    lengths = np.linalg.norm(images[found[:, 1]] - images[found[:, 0]], axis=1)
    return _keep_shortest(owner[origin[found]], lengths, origin[found])


def _shorten_far(vectors: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors (P, 3) to the nearest image, also those longer than half the smallest width of the box."""
    images = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ box  # (27, 3)
    near = shorten(vectors, box)
    lengths = np.stack([np.linalg.norm(near + image, axis=1) for image in images])  # (27, P)
    return near + images[lengths.argmin(axis=0)]


def _thin_out(positions: NDArray[np.float64], owner: NDArray[np.int64], size: float) -> NDArray[np.int64]:
    """Return one atom of each molecule in each cube of a size [nm]."""
    keys = np.concatenate([owner[:, None], np.floor(positions / size).astype(np.int64)], axis=1)
    return np.sort(np.unique(keys, axis=0, return_index=True)[1])


def _list_centers(
    positions: NDArray[np.float64], box: NDArray[np.float64], owner: NDArray[np.int64], beyond: float
) -> _Edges:
    """Return edges between all molecules by one atom each, near their centres; longer than any that was found."""
    counts = np.bincount(owner)
    centers = np.stack([np.bincount(owner, positions[:, axis]) / counts for axis in range(3)], axis=1)
    order = np.lexsort((np.linalg.norm(positions - centers[owner], axis=1), owner))
    middle = order[np.cumsum(counts) - counts]
    first, second = np.triu_indices(len(counts), 1)
    nearest = _shorten_far(positions[middle[second]] - positions[middle[first]], box)
    pairs = np.stack([first, second], axis=1)
    return _keep_shortest(pairs, beyond + np.linalg.norm(nearest, axis=1), middle[pairs])
