"""The search methods by name, and the choice of `auto`."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from orbmm.errors import GraphError, name_nearest
from orbmm.graph.search.protocol import Search
from orbmm.settings.model import SEARCHES

METHODS = tuple(name for name in SEARCHES if name != "auto")

# By scripts/benchmarks/searches.py, one CPU thread, water, 6 Å, whole find_edges in ms:
#     atoms          30     60     2,250   19,998
#     brute force    1.4    2.5    117     11,500
#     k-d tree       1.4    1.7    38      434
#     cell list      2.1    2.3    36      388
# The cell list also compiles for 15 s when it first runs on a machine.
FEW_ATOMS_CPU = 50
# Not measured: on a GPU the pairs of this few atoms are one small block, while a cell list launches many kernels.
FEW_ATOMS_GPU = 1_000

log = logging.getLogger(__name__)


def choose_search(method: str, positions: Tensor) -> Search:
    """Return the search of this name, or for "auto" the fastest for this number of atoms.

    Raises GraphError for an unknown name.
    """
    if method == "auto":
        method = _choose_method(positions)
        log.debug("neighbour search for %d atoms on %s: %s", len(positions), positions.device.type, method)
    return load_search(method)


def _choose_method(positions: Tensor) -> str:
    if positions.device.type == "cpu":
        return "brute_force" if len(positions) <= FEW_ATOMS_CPU else "kd_tree"
    return "brute_force" if len(positions) <= FEW_ATOMS_GPU else "cell_list"


def check_search(method: str, device: torch.device) -> None:
    """Raise GraphError for an unknown name, MissingDependency or DeviceError for a search that cannot run here."""
    if method == "auto":
        return
    load_search(method)
    if method == "ball_cover":
        from orbmm.graph.search.ball_cover import check_ball_cover

        check_ball_cover(device)


def load_search(method: str) -> Search:
    """Import and return the search of this name. Raises GraphError for an unknown name."""
    if method == "brute_force":
        from orbmm.graph.search.brute_force import search_brute_force

        return search_brute_force
    if method == "kd_tree":
        from orbmm.graph.search.kd_tree import search_kd_tree

        return search_kd_tree
    if method == "cell_list":
        from orbmm.graph.search.cell_list import search_cell_list

        return search_cell_list
    if method == "ball_cover":
        from orbmm.graph.search.ball_cover import search_ball_cover

        return search_ball_cover
    raise GraphError(f"unknown neighbour search '{method}': {name_nearest(method, SEARCHES)}")
