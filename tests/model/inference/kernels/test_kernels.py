"""Each Triton kernel gives what its twin in plain PyTorch gives: on a GPU, or in Triton's interpreter on a CPU.

The interpreter must be asked for before triton is imported (TRITON_INTERPRET=1): test_interpreter.py runs this file so.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from oracles.agreement import FLOAT64, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock, cut_into_blocks
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.grouping import Grouping
from orbmm.model.precision import find_precision

ATOMS, WIDTH = 11, 40  # no power of two; every third atom without an edge
EDGES = (0, 1, 57)
# A few roundings of each type: a sum in another order, or rounded once instead of twice.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
INTERPRETED = ["cpu"] if os.environ.get("TRITON_INTERPRET") == "1" else []  # no CPU has Triton otherwise


@pytest.fixture(params=[*INTERPRETED, pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture
def fused(device: torch.device) -> Kernels:
    return choose_kernels("triton", device, find_precision("float64"))


def draw(device: torch.device, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


def make_block(edges: int, device: torch.device) -> EdgeBlock:
    generator = torch.Generator().manual_seed(edges)
    ends = 3 * torch.randint(0, ATOMS // 3, (2, edges), generator=generator).to(device)
    if edges == 0:
        return EdgeBlock(slice(0, 0), ends[0], ends[1], *[_group_nothing(device)] * 2)
    return cut_into_blocks(ends[0], ends[1], ATOMS, edges)[0]


def _group_nothing(device: torch.device) -> Grouping:
    none = torch.zeros(0, dtype=torch.int64, device=device)
    return Grouping(none, torch.zeros(1, dtype=torch.int64, device=device), none)


def assert_close(got: Tensor, expected: Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("activates", ["in place", "apart", "not"])
def test_gather_add_silu(fused: Kernels, device: torch.device, edges: int, activates: str, dtype: torch.dtype) -> None:
    block, parts = make_block(edges, device), tuple(draw(device, ATOMS, WIDTH, dtype=dtype, seed=n) for n in (1, 2))
    results = []
    for kernels in (PlainKernels(), fused):
        first = draw(device, edges, WIDTH, dtype=dtype)
        active = {"in place": first, "apart": torch.zeros_like(first), "not": None}[activates]
        kernels.gather_add_silu(first, parts, block, Workspace(device), active)
        results.append((first, first if active is None else active))
    for expected, got in zip(*results, strict=True):
        assert_close(got, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("weighted", [True, False])
def test_gated_sum(fused: Kernels, device: torch.device, edges: int, weighted: bool, dtype: torch.dtype) -> None:
    block, values = make_block(edges, device), draw(device, edges, WIDTH, dtype=dtype)
    weights = draw(device, edges, 2, dtype=dtype)[:, 1] if weighted else None
    before = draw(device, ATOMS, WIDTH, dtype=dtype)
    expected, got, again = before.clone(), before.clone(), before.clone()
    PlainKernels().add_sums(expected, values, block.by_sender, weights)
    for totals in (got, again):
        fused.add_sums(totals, values, block.by_sender, weights)
    assert_close(got, expected)
    assert torch.equal(got, again)
    assert torch.equal(got[1::3], before[1::3])  # atoms without an edge


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_values_of_half_precision_are_summed_in_float32(
    fused: Kernels, device: torch.device, dtype: torch.dtype
) -> None:
    block, values = make_block(EDGES[-1], device), draw(device, EDGES[-1], WIDTH, dtype=dtype)
    expected = torch.zeros(ATOMS, WIDTH, dtype=torch.float64, device=device)
    expected.index_add_(0, block.senders, values.double())
    for kernels in (PlainKernels(), fused):
        totals = torch.zeros(ATOMS, WIDTH, device=device)
        kernels.add_sums(totals, values, block.by_sender)
        assert_close(totals, expected.float())
    assert not torch.equal(totals, totals.to(dtype))  # so half precision was not enough


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("edges", EDGES)
def test_the_way_back_through_gated_sums(fused: Kernels, device: torch.device, edges: int, dtype: torch.dtype) -> None:
    block = make_block(edges, device)
    gradients = draw(device, ATOMS, 3 * WIDTH, dtype=dtype).split(WIDTH, dim=1)[1:]
    message, grad_edges = (draw(device, edges, WIDTH, dtype=dtype, seed=seed) for seed in (3, 4))
    given = (gradients, message, draw(device, edges, 2, dtype=dtype), block, grad_edges)
    for got, expected in zip(fused.backward_sums(*given), PlainKernels().backward_sums(*given), strict=True):
        assert_close(got, expected)


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("edges", EDGES)
def test_rms_norm_and_its_way_back(fused: Kernels, device: torch.device, edges: int, dtype: torch.dtype) -> None:
    output, gradient = (draw(device, edges, WIDTH, dtype=dtype, seed=seed) for seed in (5, 6))
    scale = draw(device, WIDTH, dtype=dtype)
    plain = PlainKernels()
    assert_close(fused.normalize(output, scale), plain.normalize(output, scale))
    assert_close(fused.backward_norm(gradient, output, scale), plain.backward_norm(gradient, output, scale))


@pytest.mark.parametrize("mode", ["fast", "lean"])
@pytest.mark.parametrize("name", ["orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"])
def test_the_network_with_triton_kernels_is_the_plain_network(device: torch.device, name: str, mode: str) -> None:
    potential, structure = make_random_potential(name), MAKERS["molecule"]()
    potential = replace(potential, network=potential.network.to(device), device=device, engine=None)
    expected, got = (
        replace(potential, engine=engine).predict(structure.atomic_numbers, structure.positions)
        for engine in (
            None,
            Engine(potential.network, potential.precision, MemoryUse(200, mode), device, kernels="triton"),
        )
    )
    assert list_disagreements(got, expected, FLOAT64) == {}
