"""The k-d tree of SciPy over the atoms and their images: on the CPU, for any number of atoms."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from orbmm.graph.cell import PeriodicCell
from orbmm.graph.search.padding import pad_with_images
from orbmm.graph.search.protocol import Candidates

LEAF = 32  # points in a leaf; the fastest of 8 to 64 for 250 and for 2,000 atoms


def search_kd_tree(positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
    """Return candidates from two trees, one of the atoms and one with images; GPU positions are copied to the host.

    positions: (N, 3) [Å] float64; radius: [Å]
    """
    padded = pad_with_images(positions, cell, radius)
    senders_tree = cKDTree(positions.cpu().numpy(), balanced_tree=False, leafsize=LEAF)
    receivers_tree = cKDTree(padded.positions.cpu().numpy(), balanced_tree=False, leafsize=LEAF)
    pairs = senders_tree.sparse_distance_matrix(receivers_tree, radius, output_type="ndarray")
    senders = torch.tensor(pairs["i"], device=positions.device)  # (E,)
    found = torch.tensor(pairs["j"], device=positions.device)  # (E,)
    return Candidates(senders, padded.atoms.index_select(0, found), padded.shifts.index_select(0, found))
