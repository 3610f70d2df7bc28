"""Which neighbour searches work here: each must find the edges that brute force finds."""

from __future__ import annotations

import torch

from orbmm.doctor.finding import Finding, State
from orbmm.errors import MissingDependency, OrbmmError
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.search.choose import METHODS


def check_searches() -> list[Finding]:
    """Try every search on 100 random atoms in a sheared cell."""
    expected = _search("brute_force")
    return [_check_search(name, expected) for name in METHODS]


def _check_search(name: str, expected: EdgeList) -> Finding:
    try:
        found = _search(name)
    except (MissingDependency, ImportError) as error:
        return Finding(name, State.LIMITED, str(error))
    except OrbmmError as error:
        return Finding(name, State.BROKEN, str(error))
    same = all(
        torch.equal(getattr(found, part), getattr(expected, part)) for part in ("senders", "receivers", "shifts")
    )
    edges = len(expected.senders)
    if same:
        return Finding(name, State.GOOD, f"finds the {edges} edges of the test box")
    return Finding(name, State.BROKEN, f"finds {len(found.senders)} edges where brute force finds {edges}")


def _search(name: str) -> EdgeList:
    generator = torch.Generator().manual_seed(1)
    positions = 10 * torch.rand(100, 3, dtype=torch.float64, generator=generator)  # (N, 3) [Å]
    cell = torch.tensor([[10.0, 0.0, 0.0], [2.0, 10.0, 0.0], [-3.0, 1.0, 10.0]], dtype=torch.float64)
    return find_edges(positions, cell, 4.5, None, name)
