"""The neighbour searches that work here.

Each must find the edges that brute force finds, on a GPU where there is one.
"""

from __future__ import annotations

import torch

from orbmm.doctor.finding import Finding, State
from orbmm.errors import DeviceError, MissingDependency, OrbmmError
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.search.choose import METHODS


def check_searches() -> list[Finding]:
    """Try every search on 100 random atoms in a sheared cell; what is expected is found on the CPU."""
    expected = _search("brute_force", "cpu")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [_check_search(name, device, expected) for name in METHODS]


def _check_search(name: str, device: str, expected: EdgeList) -> Finding:
    try:
        found = _search(name, device)
    except (MissingDependency, ImportError, DeviceError) as error:  # nothing is wrong: it cannot be chosen here
        return Finding(name, State.LIMITED, str(error))
    except (
        OrbmmError,
        RuntimeError,
    ) as error:  # RuntimeError: torch or Warp on a GPU, with lines of advice after the first
        return Finding(name, State.BROKEN, str(error).partition("\n")[0])
    same = all(
        torch.equal(getattr(found, part).cpu(), getattr(expected, part)) for part in ("senders", "receivers", "shifts")
    )
    edges = len(expected.senders)
    if same:
        return Finding(name, State.GOOD, f"finds the {edges} edges of the test box")
    return Finding(name, State.BROKEN, f"finds {len(found.senders)} edges where brute force finds {edges}")


def _search(name: str, device: str) -> EdgeList:
    generator = torch.Generator().manual_seed(1)
    positions = 10 * torch.rand(100, 3, dtype=torch.float64, generator=generator)  # (N, 3) [Å]
    cell = torch.tensor([[10.0, 0.0, 0.0], [2.0, 10.0, 0.0], [-3.0, 1.0, 10.0]], dtype=torch.float64)
    return find_edges(positions.to(device), cell.to(device), 4.5, None, name)
