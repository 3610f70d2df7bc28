"""On a GPU every search gives the edges of the CPU, in the same order: shown with tensors that claim a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from graph.boxes import list_boxes
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators
from oracles.stand_in_gpu.tensor import carry_out_on_cpu

from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.search import ball_cover, cell_list, kd_tree
from orbmm.graph.search.choose import FEW_ATOMS_GPU, choose_search, load_search
from orbmm.graph.verlet import VerletList

CUTOFF = 6.0
CAP = 20
BOXES = list_boxes()
SHAPES = ("triclinic", "large", "needle", "molecule", "neighbours exactly at the cutoff", "on faces")


@pytest.fixture(autouse=True)
def operators(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operators]:
    monkeypatch.setattr(cell_list, "neighbor_list", carry_out_on_cpu(cell_list.neighbor_list))  # Warp kernels
    with stand_in_gpu(devices=2) as counts:
        yield counts


def read_box(name: str, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    positions, cell = BOXES[name]
    return torch.from_numpy(positions).to(device), None if cell is None else torch.from_numpy(cell).to(device)


def as_arrays(edges: EdgeList) -> list[np.ndarray]:
    return [each.cpu().numpy() for each in (edges.senders, edges.receivers, edges.shifts)]


def assert_same_edges(one: EdgeList, other: EdgeList) -> None:
    for mine, theirs in zip(as_arrays(one), as_arrays(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("method", ["brute_force", "kd_tree", "cell_list"])
@pytest.mark.parametrize("box", SHAPES)
def test_each_search_gives_the_edges_of_the_cpu(method: str, box: str) -> None:
    edges = find_edges(*read_box(box, "cuda:0"), CUTOFF, CAP, method)
    assert edges.senders.is_cuda and len(edges)
    assert_same_edges(edges, find_edges(*read_box(box, "cpu"), CUTOFF, CAP, "brute_force"))


class _Neighbors:
    """What cuML documents of its brute nearest neighbours in float32, with its limit on k."""

    def __init__(self, n_neighbors: int, algorithm: str, metric: str) -> None:
        assert (algorithm, metric) == ("rbc", "euclidean")
        self._neighbors = n_neighbors

    def fit(self, points: torch.Tensor) -> None:
        assert points.dtype == torch.float32 and points.is_contiguous() and self._neighbors**2 <= len(points)
        self._points = points

    def kneighbors(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert queries.device.index == torch.cuda.current_device()  # where cuML works
        nearest = torch.cdist(queries, self._points).topk(self._neighbors, largest=False)
        return nearest.values, nearest.indices


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_the_ball_cover_gives_them_with_what_cuml_documents(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball_cover, "_import_cuml", lambda: SimpleNamespace(NearestNeighbors=_Neighbors))
    cutoff = 4.0
    edges = find_edges(*read_box("large", device), cutoff, CAP, "ball_cover")
    assert_same_edges(edges, find_edges(*read_box("large", "cpu"), cutoff, CAP, "brute_force"))


def test_auto_takes_brute_force_for_few_atoms_and_the_cell_list_for_many() -> None:
    few, many = (torch.zeros(atoms, 3, device="cuda") for atoms in (FEW_ATOMS_GPU, FEW_ATOMS_GPU + 1))
    assert choose_search("auto", few) is load_search("brute_force")
    assert choose_search("auto", many) is load_search("cell_list")


def test_kept_pairs_give_the_edges_of_a_new_search_also_across_faces() -> None:
    positions, cell = (each.clone() for each in read_box("triclinic", "cuda:0"))
    neighbors, random = VerletList(CUTOFF, CAP, 0.7), np.random.default_rng(3)
    for step in range(6):
        assert_same_edges(neighbors.find_edges(positions, cell), find_edges(positions, cell, CUTOFF, CAP))
        positions = positions + torch.from_numpy(random.normal(scale=0.02, size=positions.shape)).to("cuda:0")
        if step == 3:
            positions[::3] += cell[0]
    assert neighbors.searches < 3


def test_pairs_kept_on_one_device_are_not_used_on_another() -> None:
    neighbors = VerletList(CUTOFF, CAP, 0.7)
    found = [neighbors.find_edges(*read_box("triclinic", device)) for device in ("cuda:0", "cuda:1", "cpu")]
    assert [str(each.senders.device) for each in found] == ["cuda:0", "cuda:1", "cpu"]
    assert neighbors.searches == 3


def test_a_search_that_hands_the_device_to_numpy_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kd_tree, "cKDTree", lambda points, **options: pytest.fail("must not get so far"))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: self)  # as if the copy had been forgotten
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        find_edges(*read_box("molecule", "cuda:0"), CUTOFF, CAP, "kd_tree")


def test_a_search_that_returns_indices_of_the_host_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    search = kd_tree.search_kd_tree

    def on_host(positions: torch.Tensor, cell: object, radius: float) -> object:
        found = search(positions, cell, radius)
        return type(found)(found.senders.cpu(), found.receivers, found.shifts)

    monkeypatch.setattr(kd_tree, "search_kd_tree", on_host)
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        find_edges(*read_box("triclinic", "cuda:0"), CUTOFF, CAP, "kd_tree")
