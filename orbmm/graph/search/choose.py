"""The search methods by name, and which one `auto` takes."""

from __future__ import annotations

from torch import Tensor

from orbmm.errors import GraphError, name_nearest
from orbmm.graph.search.brute_force import search_brute_force
from orbmm.graph.search.protocol import Search

SEARCHES: dict[str, Search] = {"brute_force": search_brute_force}


def choose_search(method: str, positions: Tensor, is_periodic: bool) -> Search:
    """The search called `method`, or for "auto" the fastest for these atoms; GraphError for an unknown name."""
    if method == "auto":
        method = "brute_force"
    if method not in SEARCHES:
        raise GraphError(f"unknown neighbour search '{method}': {name_nearest(method, ('auto', *SEARCHES))}")
    return SEARCHES[method]
