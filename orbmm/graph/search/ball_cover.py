"""The random ball cover of cuML over the atoms and their images: on an NVIDIA GPU, an alternative to the cell list.

Ball cover returns the k nearest points, so k grows until the k-th neighbour of every atom is beyond the radius. cuML
computes in float32, and k is limited to the square root of the number of points (its "number of landmark samples must
be >= k"). Written from the documentation of cuML, and not run on a GPU yet.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from orbmm.errors import DeviceError, GraphError, MissingDependency
from orbmm.graph.cell import PeriodicCell
from orbmm.graph.search.padding import PaddedAtoms, pad_with_images
from orbmm.graph.search.protocol import Candidates

FIRST_NEIGHBORS = 96
ROUNDING = 1e-6  # of the largest coordinate: eight times what float32 resolves there


def check_ball_cover(device: torch.device) -> None:
    """Raise MissingDependency without cuML, DeviceError for a device that is not a GPU."""
    _import_cuml()
    if device.type != "cuda":
        raise DeviceError(f"ball_cover needs its atoms on a CUDA device, got {device}; choose kd_tree or brute_force")


def search_ball_cover(positions: Tensor, cell: PeriodicCell | None, radius: float) -> Candidates:
    """Return candidates from the k nearest image atoms of each atom.

    positions: (N, 3) [Å] float64, on a GPU; radius: [Å]
    Raises MissingDependency without cuML, DeviceError without a GPU, GraphError if an atom has more neighbours than
    cuML can return.
    """
    check_ball_cover(positions.device)
    cuml_neighbors = _import_cuml()
    padded = pad_with_images(positions, cell, radius)
    centre = padded.positions.mean(dim=0)
    points = (padded.positions - centre).float().contiguous()  # (M, 3)
    queries = (positions - centre).float().contiguous()  # (N, 3)
    reach = radius + ROUNDING * float(points.abs().max())
    most = math.isqrt(len(points))
    neighbors = min(FIRST_NEIGHBORS, most)
    while True:
        distances, found = _query(cuml_neighbors, points, queries, neighbors)  # (N, k), (N, k)
        if bool((distances.amax(dim=1) > reach).all()):
            return _gather(found, distances <= reach, padded)
        if neighbors == most:
            raise GraphError(
                f"ball_cover can return {most} neighbours for {len(points)} atoms with images, and some atom has more "
                f"within {radius:.4g} Å; choose the cell_list method"
            )
        neighbors = min(2 * neighbors, most)


def _query(cuml_neighbors: Any, points: Tensor, queries: Tensor, neighbors: int) -> tuple[Tensor, Tensor]:
    """Return distances and indices of the nearest points of each query: (N, k), (N, k)."""
    with torch.cuda.device_of(points):  # cuML works on the current device of torch
        nearest = cuml_neighbors.NearestNeighbors(n_neighbors=neighbors, algorithm="rbc", metric="euclidean")
        nearest.fit(points)
        distances, found = nearest.kneighbors(queries)
    return torch.as_tensor(distances, device=points.device), torch.as_tensor(found, device=points.device).long()


def _gather(found: Tensor, is_near: Tensor, padded: PaddedAtoms) -> Candidates:
    """Return candidates from the table of found image atoms (N, k), where is_near (N, k) is true."""
    senders, slots = is_near.nonzero(as_tuple=True)  # (E,)
    images = found[senders, slots]  # (E,)
    return Candidates(senders, padded.atoms.index_select(0, images), padded.shifts.index_select(0, images))


def _import_cuml() -> Any:
    try:
        from cuml import neighbors
    except ImportError as error:
        raise MissingDependency(
            "the neighbour search ball_cover needs cuML; run pip install '.[cuml]' in a clone of orbmm, "
            "or choose another method"
        ) from error
    return neighbors
