"""On a GPU the network gives what it gives on the CPU, launched one by one or recorded: with tensors that claim a GPU.

In float64 on the same blocks of edges the results are equal to the last bit, because the stand-in adds in the order of
the CPU. A real GPU does not; that it rounds no worse is for a test with a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from oracles.agreement import FLOAT32, FLOAT64, Tolerance, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators
from oracles.structures import MAKERS

from orbmm.errors import DeviceError, ModelError
from orbmm.model.inference import engine as engine_module
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import GPU_SHARE_PER_BLOCK, MOST_EDGES_PER_BLOCK, MemoryUse
from orbmm.model.inference.network_pass import NetworkPass
from orbmm.model.inference.replay import climb_ladder
from orbmm.model.load import load_model
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import NumpyPrediction, Potential
from orbmm.model.precision import find_device
from orbmm.settings.model import PRECISIONS

DIRECT, CONSERVATIVE = MODELS = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
BLOCK = 300  # edges: several blocks in each structure
EXACT = Tolerance(energy=0.0, forces=0.0, stress=0.0, confidence=0.0)
# In float16 a GPU stores what products and sums give, and a CPU rounds only what enters products: half as many
# roundings, with independent errors. So the error is some sqrt(2) times that of the CPU, and twice that for the draw.
FLOAT16_EXCESS = 2 * 2**0.5
OUTPUTS = frozenset({"energy", "forces", "confidence"})
SCALES = (1.0, 1.004, 0.97, 1.0)  # of the coordinates; the last is a repetition after others


@pytest.fixture
def operators() -> Iterator[Operators]:
    with stand_in_gpu(devices=2) as counts:
        yield counts


def load(name: str, device: str, precision: str = "float64", **execution: object) -> Potential:
    return load_model(name, device=device, precision=precision, execution=Execution(edges_per_block=BLOCK, **execution))


def predict(potential: Potential, shape: str) -> NumpyPrediction:
    structure = MAKERS[shape]()
    return potential.predict(structure.atomic_numbers, structure.positions, structure.cell)


@cache
def predict_on_cpu(name: str, precision: str, shape: str) -> NumpyPrediction:
    with torch._C.DisableTorchFunction():  # whatever device the test has switched on
        return predict(load(name, "cpu", precision), shape)


@pytest.mark.parametrize("precision", [precision for precision in PRECISIONS if precision != "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_each_precision_gives_the_numbers_of_the_cpu(name: str, precision: str, operators: Operators) -> None:
    found, expected = (
        predict(load(name, "cuda", precision), "water_cube"),
        predict_on_cpu(name, precision, "water_cube"),
    )
    assert list_disagreements(found, expected, EXACT if precision == "float64" else FLOAT32) == {}
    assert operators.launched["embedding_bag"] + operators.launched["_embedding_bag_forward_only"] > 10


@pytest.mark.parametrize("name", MODELS)
def test_float16_is_stored_as_such_and_errs_little_more_than_on_the_cpu(name: str, operators: Operators) -> None:
    found = predict(load(name, "cuda", "float16"), "water_cube")
    exact, rounded = (predict_on_cpu(name, precision, "water_cube") for precision in ("float64", "float16"))
    errors = [np.sqrt(((each.forces - exact.forces) ** 2).mean()) for each in (found, rounded)]
    assert errors[0] < FLOAT16_EXCESS * errors[1]
    assert "forces" in list_disagreements(found, rounded, FLOAT32)  # products are rounded where they are stored


@pytest.mark.parametrize("shape", ["molecule", "water_sheared", "water_far_away"])
@pytest.mark.parametrize("name", MODELS)
def test_any_box_or_none_gives_the_numbers_of_the_cpu(name: str, shape: str, operators: Operators) -> None:
    found, expected = predict(load(name, "cuda:1"), shape), predict_on_cpu(name, "float64", shape)
    assert list_disagreements(found, expected, EXACT) == {}
    assert (found.stress is None) == (shape == "molecule" or name == DIRECT)


@pytest.mark.parametrize("name", ["orb-v3-direct-20-omat", "orb-v3-conservative-omol"])
def test_a_cap_a_stress_and_a_charge_give_the_numbers_of_the_cpu(name: str, operators: Operators) -> None:
    potential, structure = make_random_potential(name), MAKERS["two_atom_cell"]()
    state = (1, 2) if potential.record.takes_charge else ()
    arguments = (structure.atomic_numbers, structure.positions, structure.cell, *state)
    expected = potential.predict(*arguments)
    network, gpu = potential.network.to("cuda:0"), torch.device("cuda:0")
    engine = engine_module.Engine(network, potential.precision, MemoryUse(), gpu)
    found = replace(potential, network=network, device=gpu, engine=engine).predict(*arguments)
    assert list_disagreements(found, expected, FLOAT64) == {}
    assert found.stress is not None and found.confidence is not None


@pytest.mark.parametrize("memory", ["fast", "lean"])
def test_each_memory_mode_gives_the_numbers_of_the_cpu(memory: str, operators: Operators) -> None:
    found = predict(load(CONSERVATIVE, "cuda", memory=memory), "water_cube")
    assert list_disagreements(found, predict_on_cpu(CONSERVATIVE, "float64", "water_cube"), FLOAT64) == {}


def test_another_precision_would_be_seen() -> None:
    rounded, exact = (predict_on_cpu(DIRECT, precision, "water_cube") for precision in ("float32-high", "float64"))
    assert set(list_disagreements(rounded, exact, EXACT)) >= {"energy", "forces"}
    rounded = predict_on_cpu(DIRECT, "bfloat16", "water_cube")
    assert "forces" in list_disagreements(rounded, exact, FLOAT32)


@pytest.mark.parametrize("free_bytes, fewest", [(2**36, MOST_EDGES_PER_BLOCK), (2**30, 1_024)])
def test_the_block_and_what_is_kept_follow_the_free_memory_of_the_gpu(free_bytes: int, fewest: int) -> None:
    with stand_in_gpu(free_bytes=free_bytes):
        engine = load_model(CONSERVATIVE, device="cuda").engine
        assert engine._edges_per_block >= fewest
        assert 4 * engine._edges_per_block * 256 < max(free_bytes * GPU_SHARE_PER_BLOCK, 4 * 1_024 * 256 + 1)


def test_auto_takes_the_gpu_and_an_absent_one_is_refused(operators: Operators) -> None:
    assert find_device("auto") == torch.device("cuda")
    with pytest.raises(DeviceError, match="'cuda:2' was requested but torch sees 2 CUDA devices"):
        find_device("cuda:2")


def record_steps(potential: Potential, shape: str, scales: tuple[float, ...] = SCALES) -> list[Prediction]:
    """The predictions at coordinates that grow and shrink, as NumPy on the host."""
    structure = MAKERS[shape]()
    composition = potential.compose(structure.atomic_numbers)
    predictions = []
    for scale in scales:
        cell = None if structure.cell is None else torch.from_numpy(scale * structure.cell).to(potential.device)
        positions = torch.from_numpy(scale * structure.positions).to(potential.device)
        predictions.append(potential.evaluate(composition, positions, cell, OUTPUTS))
    return predictions


def list_worst(found: list[Prediction], expected: list[Prediction]) -> dict[str, float]:
    """The largest difference of each output at any step, relative to its largest number."""
    worst = {}
    for output in sorted(OUTPUTS):
        pairs = [
            (getattr(one, output).cpu(), getattr(other, output).cpu())
            for one, other in zip(found, expected, strict=True)
        ]
        worst[output] = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
    return worst


RECORDED = [
    (DIRECT, "water_cube", "auto"),
    (CONSERVATIVE, "water_cube", "fast"),
    (CONSERVATIVE, "water_sheared", "lean"),
    (CONSERVATIVE, "molecule", "auto"),
]


@pytest.mark.parametrize("name, shape, memory", RECORDED)
def test_a_recording_gives_the_numbers_of_the_cpu_at_other_coordinates(
    name: str, shape: str, memory: str, operators: Operators
) -> None:
    potential = load(name, "cuda", memory=memory, cuda_graphs=True)
    found, expected = record_steps(potential, shape), record_steps(load(name, "cpu"), shape)
    assert max(list_worst(found, expected).values()) < FLOAT64.forces  # padding changes the rounding
    assert operators.launched["replay"] == len(SCALES)
    sizes = [key[0] for key in potential.engine._recordings]
    assert sizes == [climb_ladder(size) for size in sizes] and len(sizes) < len(SCALES)
    assert torch.equal(found[0].forces, found[-1].forces) and found[0].forces is not found[-1].forces


def test_float16_overflow_is_refused_after_a_replay(operators: Operators) -> None:
    potential = load(DIRECT, "cuda", "float16", cuda_graphs=True)
    assert (
        max(list_worst(record_steps(potential, "water_cube"), record_steps(load(DIRECT, "cpu"), "water_cube")).values())
        < 0.05
    )
    potential.network.heads["forces"].normalizer.bn.running_var.fill_(torch.inf)
    with pytest.raises(ModelError, match="NaN or infinity in float16"):
        record_steps(potential, "water_cube", (1.0,))


def test_direct_forces_without_a_cell_are_not_recorded(operators: Operators) -> None:
    with pytest.raises(ModelError, match="cannot be recorded.*remove cuda_graphs"):
        record_steps(load(DIRECT, "cuda", cuda_graphs=True), "molecule")


# Twins: each plants one fault, which the tests above would report.


def test_an_item_inside_a_capture_would_be_seen(operators: Operators, monkeypatch: pytest.MonkeyPatch) -> None:
    run = NetworkPass.run

    def ask(self: NetworkPass, graph: object, blocks: object) -> torch.Tensor:
        nodes = run(self, graph, blocks)
        return nodes / max(1.0, nodes.abs().max().item() * 1e-30)

    monkeypatch.setattr(NetworkPass, "run", ask)
    predict(load(DIRECT, "cuda"), "water_cube")  # slow, but right
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing: _local_scalar_dense"):
        record_steps(load(DIRECT, "cuda", cuda_graphs=True), "water_cube")


def test_a_number_that_the_host_computes_while_recording_would_be_seen(
    operators: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, factor = engine_module.Engine.choose_kept, [1.0]

    def remember(self: engine_module.Engine, graph, *args):  # type: ignore[no-untyped-def]
        factor[0] = float(graph.vectors.abs().mean())
        return choose(self, graph, *args)

    run = NetworkPass.run
    monkeypatch.setattr(engine_module.Engine, "choose_kept", remember)
    monkeypatch.setattr(NetworkPass, "run", lambda self, graph, blocks: run(self, graph, blocks) * factor[0])
    found, expected = (record_steps(load(DIRECT, "cuda", cuda_graphs=graphs), "water_cube") for graphs in (True, False))
    assert list_worst(found, expected)["forces"] > 1000 * FLOAT64.forces


def test_a_buffer_left_on_the_host_would_be_seen(operators: Operators) -> None:
    potential = load(DIRECT, "cuda")
    potential.network.repulsion.radii = potential.network.repulsion.radii.cpu()
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device, cuda:0"):
        predict(potential, "water_cube")
