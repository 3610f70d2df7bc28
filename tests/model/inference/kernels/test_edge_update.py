"""The fused edge update gives what its plain twin gives, and the twin what the formulas give.

On a GPU, or in Triton's interpreter on a CPU (TRITON_INTERPRET=1): test_interpreter.py runs this file so. The twin
runs on every CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.edge_update import Case, carry_out, carry_out_backward, compute_exactly, differentiate_exactly, make_case
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.model.inference.engine import Engine
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.kernels.edge_update.plain import PlainEdgeKernels
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.precision import find_precision

CPU = torch.device("cpu")
SIZES = (12, 32, 64)  # atoms, features, hidden values
EDGES = (1, 150)  # less than a tile, and no multiple of one
PRECISIONS = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32-high"}
# A few roundings of each type, because sums are taken in another order; TF32 on a GPU has the bits of float16.
TOLERANCE = {torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float32: 1e-5}
# No CPU has Triton but its interpreter, which multiplies bfloat16 as if it were integers.
INTERPRETED = [torch.float16, torch.float32] if os.environ.get("TRITON_INTERPRET") == "1" else []


@pytest.fixture(
    params=[("cpu", dtype) for dtype in INTERPRETED]
    + [pytest.param(("cuda", dtype), marks=pytest.mark.gpu) for dtype in PRECISIONS],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def way(request: pytest.FixtureRequest) -> tuple[torch.device, torch.dtype]:
    if request.param[0] == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param[0]), request.param[1]


def find_fused(device: torch.device, dtype: torch.dtype) -> EdgeKernels:
    return choose_kernels("fused", device, find_precision(PRECISIONS[dtype])).edge_update


def list_differing(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> list[str]:
    """The names of the arrays whose largest difference is above the tolerance, by the size of the expected values."""
    differing = []
    for name, values in expected.items():
        difference = (got[name].double() - values.double()).abs().max()
        if not difference <= tolerance * max(1.0, float(values.double().abs().max())):
            differing.append(name)
    return differing


@pytest.mark.parametrize("edges", EDGES)
def test_fused_kernels_give_what_their_twin_gives(way: tuple[torch.device, torch.dtype], edges: int) -> None:
    device, dtype = way
    case = make_case(edges, dtype, device, SIZES)
    tolerance = TOLERANCE[torch.float16 if device.type == "cuda" and dtype == torch.float32 else dtype]
    fused, twin = find_fused(device, dtype), carry_out(PlainEdgeKernels(), case)
    got, again = carry_out(fused, case), carry_out(fused, case)
    assert list_differing(got, twin, tolerance) == []
    assert all(torch.equal(got[name], again[name]) for name in got)
    untouched = [atom for atom in range(SIZES[0]) if atom % 3]
    assert torch.equal(got["received"][untouched], case.totals[0][untouched])


@pytest.mark.parametrize("edges", EDGES)
def test_fused_gradients_are_those_of_their_twin(way: tuple[torch.device, torch.dtype], edges: int) -> None:
    device, dtype = way
    case = make_case(edges, dtype, device, SIZES)
    tolerance = TOLERANCE[torch.float16 if device.type == "cuda" and dtype == torch.float32 else dtype]
    got = carry_out_backward(find_fused(device, dtype), case)
    assert list_differing(got, carry_out_backward(PlainEdgeKernels(), case), tolerance) == []


def test_no_edges_are_no_work(way: tuple[torch.device, torch.dtype]) -> None:
    device, dtype = way
    case = make_case(3, dtype, device, SIZES)
    none = replace(case.block.by_sender, atoms=case.block.by_sender.atoms[:0])
    block = replace(case.block, senders=case.block.senders[:0], by_sender=none, by_receiver=none)
    empty = replace(case, edges=case.edges[:0], envelope=case.envelope[:0], block=block)
    assert torch.equal(carry_out(find_fused(device, dtype), empty)["sent"], case.totals[1])


@pytest.mark.parametrize("dtype", list(PRECISIONS), ids=str)
@pytest.mark.parametrize("edges", EDGES)
def test_the_twin_gives_what_the_formulas_give(edges: int, dtype: torch.dtype) -> None:
    case = make_case(edges, dtype, CPU, SIZES)
    assert list_differing(carry_out(PlainEdgeKernels(), case), compute_exactly(case), 3 * TOLERANCE[dtype]) == []


@pytest.mark.parametrize("mode", ["fast", "lean"])
@pytest.mark.parametrize("name", ["orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"])
def test_the_network_with_fused_kernels_is_that_with_their_twin(
    way: tuple[torch.device, torch.dtype], name: str, mode: str
) -> None:
    (device, dtype), structure = way, MAKERS["molecule"]()
    potential = make_random_potential(name, precision=PRECISIONS[dtype])
    network, predictions = potential.network.to(device), []
    for kernels in ("fused", PlainKernels(PlainEdgeKernels())):
        engine = Engine(network, potential.precision, MemoryUse(200, mode), device, kernels)
        there = replace(potential, network=network, device=device, engine=engine)
        predictions.append(there.predict(structure.atomic_numbers, structure.positions))
    got, expected = predictions
    # A rounding that falls the other way goes through some ten products; 1e-5 is its size in float32.
    tolerance = 10 * TOLERANCE[torch.float16 if device.type == "cuda" and dtype == torch.float32 else dtype]
    assert np.abs(got.forces - expected.forces).max() <= tolerance * np.abs(expected.forces).max()
    assert abs(got.energy - expected.energy) <= tolerance * len(structure.positions)


@pytest.mark.parametrize("dtype", list(PRECISIONS), ids=str)
@pytest.mark.parametrize("edges", EDGES)
def test_the_gradients_of_the_twin_are_those_of_the_formulas(edges: int, dtype: torch.dtype) -> None:
    case = make_case(edges, dtype, CPU, SIZES)
    got = carry_out_backward(PlainEdgeKernels(), case)
    assert list_differing(got, differentiate_exactly(case), 3 * TOLERANCE[dtype]) == []


def test_gradients_with_swapped_gates_would_be_seen() -> None:
    case = make_case(EDGES[-1], torch.float16, CPU, SIZES)
    got = list_differing(carry_out_backward(PlainEdgeKernels(), swap_gates(case)), differentiate_exactly(case), 0.012)
    assert {"by hidden", "by gates", "by envelope", "by edges"} <= set(got)


def swap_ends(case: Case) -> Case:
    return replace(case, parts=case.parts[::-1])


def swap_gates(case: Case) -> Case:
    return replace(case, gates=case.gates.flip(0))


def swap_sums(case: Case) -> Case:
    block = replace(case.block, by_sender=case.block.by_receiver, by_receiver=case.block.by_sender)
    return replace(case, block=block)


def lose_the_middle_bias(case: Case) -> Case:
    return replace(case, middle_bias=torch.zeros_like(case.middle_bias))


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (swap_ends, {"first", "active", "second", "message", "raw", "edges"}),
        (swap_gates, {"gates", "received", "sent"}),
        (swap_sums, {"received", "sent"}),
        (lose_the_middle_bias, {"second", "raw", "message", "edges", "encoder first", "encoded"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_twin_would_be_seen(spoil: Callable[[Case], Case], seen: set[str]) -> None:
    case = make_case(EDGES[-1], torch.float16, CPU, SIZES)
    got = carry_out(PlainEdgeKernels(), spoil(case))
    assert seen <= set(list_differing(got, carry_out(PlainEdgeKernels(), case), TOLERANCE[torch.float16]))
