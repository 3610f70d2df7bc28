"""What is carried out in blocks, with matrices cut and gradients written by hand, is the plain network's function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from oracles.agreement import FLOAT64, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS, Structure
from torch.utils._python_dispatch import TorchDispatchMode

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import ModelError
from orbmm.graph.edges import EdgeList
from orbmm.model.inference import engine as inference_engine
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import Keep, MemoryUse, divide_memory
from orbmm.model.network.grouping import sum_by_index
from orbmm.model.potential import NumpyPrediction, Potential

# The full-size network, and the small ones with a single hidden layer.
MODELS = (
    "orb-v3-direct-inf-omat",
    "orb-v3-conservative-20-omat",
    "orb-v3-conservative-omol",
    "orb-mini-direct-inf-xtb",
    "orb-mini-conservative-inf-xtb",
)
STRUCTURES = ("molecule", "water_cube")
USES = {
    "lean, in blocks": MemoryUse(100, "lean"),
    "fast, in blocks": MemoryUse(777, "fast"),
    "as it comes": MemoryUse(),
}


@pytest.fixture(scope="module", params=MODELS)
def plain(request: pytest.FixtureRequest) -> Potential:
    return replace(make_random_potential(request.param), engine=None)


def carry_out(potential: Potential, use: MemoryUse) -> Potential:
    engine = Engine(potential.network, potential.precision, use, potential.device)
    return replace(potential, engine=engine)


def predict(potential: Potential, structure: Structure) -> NumpyPrediction:
    state = (-1, 3) if potential.record.takes_charge else ()
    return potential.predict(structure.atomic_numbers, structure.positions, structure.cell, *state)


@pytest.mark.parametrize("structure_name", STRUCTURES)
def test_an_engine_gives_what_the_plain_network_gives(plain: Potential, structure_name: str) -> None:
    structure = MAKERS[structure_name]()
    expected = predict(plain, structure)
    for name, use in USES.items():
        assert list_disagreements(predict(carry_out(plain, use), structure), expected, FLOAT64) == {}, name


def test_one_edge_less_is_noticed(plain: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    structure = MAKERS["water_cube"]()
    expected = predict(plain, structure)
    find = Potential.find_edges

    def lose_one(self: Potential, positions: torch.Tensor, cell: torch.Tensor | None) -> EdgeList:
        edges = find(self, positions, cell)
        return EdgeList(edges.senders[1:], edges.receivers[1:], edges.shifts[1:])

    monkeypatch.setattr(Potential, "find_edges", lose_one)
    assert "forces" in list_disagreements(predict(carry_out(plain, MemoryUse(100)), structure), expected, FLOAT64)


def test_what_is_kept_and_what_is_computed_twice_is_the_same_to_the_last_bit(plain: Potential) -> None:
    structure = MAKERS["water_cube"]()
    fast, lean = (predict(carry_out(plain, MemoryUse(512, mode)), structure) for mode in ("fast", "lean"))
    assert fast.energy == lean.energy
    np.testing.assert_array_equal(fast.forces, lean.forces)


@pytest.mark.parametrize("name", ["orb-v3-conservative-20-omat", "orb-mini-conservative-inf-xtb"])
def test_what_is_partly_kept_is_the_same_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = replace(find_record(name).architecture, layers=2)
    plain = replace(make_random_potential(name, architecture=architecture), engine=None)
    structure = MAKERS["water_cube"]()
    lean = predict(carry_out(plain, MemoryUse(512, "lean")), structure)
    chosen: list[list[Keep]] = []
    choose = MemoryUse.choose_kept

    def remember(self: MemoryUse, *arguments: Any) -> list[Keep]:
        chosen.append(choose(self, *arguments))
        return chosen[-1]

    monkeypatch.setattr(MemoryUse, "choose_kept", remember)
    monkeypatch.setattr(inference_engine, "count_kept_bytes", lambda: 0)
    for free in np.geomspace(1e6, 2.5e8, 20).astype(int).tolist():
        monkeypatch.setattr(inference_engine, "read_free_bytes", lambda _, free=free: free)
        partly = predict(carry_out(plain, MemoryUse(512)), structure)
        assert partly.energy == lean.energy
        np.testing.assert_array_equal(partly.forces, lean.forces)
    mixed = [kept for kept in chosen if len(set(kept)) > 1]
    assert {Keep.NOTHING, Keep.MOST, Keep.ALL} == {keep for kept in mixed for keep in kept}


def test_an_atom_without_neighbours_has_no_edges_and_no_force(plain: Potential) -> None:
    lone = predict(
        carry_out(plain, MemoryUse()), replace(MAKERS["molecule"](), atomic_numbers=[8], positions=np.zeros((1, 3)))
    )
    assert np.isfinite(lone.energy)
    np.testing.assert_allclose(lone.forces, 0.0, atol=1e-12)


class _WidestEdges(TorchDispatchMode):
    """Remembers how many numbers each edge has in the widest tensor of all edges that an operation put out."""

    def __init__(self, edges: int) -> None:
        super().__init__()
        self.edges, self.width = edges, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.ndim and len(tensor) == self.edges:
                self.width = max(self.width, tensor.numel() // self.edges)
        return result


@pytest.mark.parametrize("name", ["orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat"])
def test_no_tensor_of_all_edges_is_wider_than_their_features(name: str) -> None:
    potential, structure = make_random_potential(name, precision="float32-highest"), MAKERS["water_cube"]()
    positions, cell = torch.from_numpy(structure.positions), torch.from_numpy(structure.cell)
    composition = potential.compose(structure.atomic_numbers)
    graph = potential.make_graph(composition, positions, cell, potential.find_edges(positions, cell))
    architecture = potential.record.architecture
    with _WidestEdges(len(graph.senders)) as watch:
        carry_out(potential, MemoryUse(256, "lean")).run(graph)
    assert watch.width == architecture.latent_dim
    with _WidestEdges(len(graph.senders)) as watch:
        replace(potential, engine=None).run(graph)
    assert watch.width == architecture.mlp_hidden_dim


def test_energy_alone_runs_no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    potential, structure = make_random_potential("orb-mini-conservative-inf-xtb"), MAKERS["molecule"]()
    composition = potential.compose(structure.atomic_numbers)
    positions = torch.from_numpy(structure.positions)
    expected = potential.evaluate(composition, positions)
    monkeypatch.delattr("orbmm.model.inference.network_pass.NetworkPass.run_and_trace")
    alone = potential.evaluate(composition, positions, outputs={"energy"})
    assert alone.forces is None and alone.confidence is None
    assert torch.equal(alone.energy, expected.energy)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ({"edges_per_block": 0}, "edges_per_block is 0, but must be at least 1"),
        ({"edges_per_block": -5}, "edges_per_block is -5, but must be at least 1"),
        ({"mode": "laen"}, "unknown memory mode 'laen': did you mean 'lean'"),
    ],
)
def test_uses_of_memory_that_make_no_sense_are_refused(use: dict, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        MemoryUse(**use)


def test_memory_is_given_to_the_last_layers_first() -> None:
    architecture = make_random_potential("orb-v3-conservative-inf-omat").record.architecture
    numbers = 1_000_000  # one number of each edge: 1 MB
    edges = 6 * 256 * numbers
    assert divide_memory(architecture, numbers, 0) == [Keep.NOTHING] * 6  # the encoder, and five layers
    one = divide_memory(architecture, numbers, edges + (1024 + 256) * numbers)
    assert one == [Keep.NOTHING] * 5 + [Keep.MOST]
    assert divide_memory(architecture, numbers, edges + 6 * (1024 + 256) * numbers) == [Keep.MOST] * 6
    assert divide_memory(architecture, numbers, edges + 6 * (2048 + 256) * numbers) == [Keep.ALL] * 6


@pytest.mark.gpu
def test_a_gpu_sums_in_the_same_order_each_time() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    values, index = torch.randn(1_000_000, 3, device="cuda"), torch.randint(8, (1_000_000,), device="cuda")
    sums = [sum_by_index(values, index, 8) for _ in range(20)]
    raced = [values.new_zeros(8, 3).index_add(0, index, values) for _ in range(20)]
    assert all(torch.equal(total, sums[0]) for total in sums)
    assert not all(torch.equal(total, raced[0]) for total in raced)
    torch.testing.assert_close(sums[0], raced[0], rtol=1e-4, atol=1e-1)
