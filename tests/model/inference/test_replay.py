"""A recording must not depend on the numbers: checked on a CPU by the called operations, on a GPU by the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS
from torch.utils._python_dispatch import TorchDispatchMode

from orbmm.errors import DeviceError, ModelError
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.inference.replay import MOST_RECORDINGS, Replay, climb_ladder, pad_edges
from orbmm.model.load import load_model
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.potential import Potential

MODELS = (
    "orb-v3-direct-20-omat",
    "orb-v3-conservative-inf-omat",
    "orb-mini-direct-inf-xtb",
    "orb-v3-conservative-omol",
)
OUTPUTS = frozenset({"energy", "forces", "stress"})
BLOCK = 500
ASKING = (
    "lift_fresh",
    "lift",
    "item",
    "_pin_memory",
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "equal",
    "is_nonzero",
)


class _Calls(TorchDispatchMode):
    """The operations that were called, each with the shapes of what it put out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[Sequence[int]]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        shapes = [tuple(tensor.shape) for tensor in tensors if isinstance(tensor, torch.Tensor)]
        self.calls.append((func.overloadpacket.__name__, shapes))
        return result

    @property
    def asking(self) -> list[str]:
        """The calls for which a host waits for a number, or brings one of its own."""
        return [name for name, _ in self.calls if name in ASKING]


def make_engine(potential: Potential) -> Engine:
    return Engine(potential.network, potential.precision, MemoryUse(BLOCK, "fast"), potential.device)


def choose_outputs(potential: Potential) -> frozenset[str]:
    return OUTPUTS & potential.network.available_outputs


def make_graph(potential: Potential, scale: float = 1.0) -> AtomGraph:
    structure = MAKERS["water_cube"]()
    positions, cell = (scale * torch.from_numpy(array) for array in (structure.positions, structure.cell))
    positions, cell = positions.to(potential.device), cell.to(potential.device)
    edges = potential.find_edges(positions, cell)
    state = (-1, 3) if potential.record.takes_charge else ()
    return potential.make_graph(potential.compose(structure.atomic_numbers, *state), positions, cell, edges)


def pad(potential: Potential, graph: AtomGraph) -> AtomGraph:
    return pad_edges(graph, climb_ladder(len(graph.senders)), potential.record.architecture.cutoff_angstrom)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_launched_depends_on_shapes_alone(name: str) -> None:
    potential = make_random_potential(name)
    engine, outputs = make_engine(potential), choose_outputs(potential)
    graphs = [make_graph(potential, scale) for scale in (1.0, 1.004)]
    assert len(graphs[0].senders) != len(graphs[1].senders) or potential.record.max_neighbors == 20
    padded = [pad(potential, graph) for graph in graphs]
    assert len(padded[0].senders) == len(padded[1].senders)
    seen = []
    for graph, full in zip(graphs, padded, strict=True):
        keep = engine.choose_kept(full, outputs)
        with _Calls() as calls:
            launched = engine.launch(full, outputs, keep)
        assert calls.asking == []
        seen.append(calls.calls)
        expected = engine.predict(graph, outputs)
        for output in outputs:
            torch.testing.assert_close(getattr(launched, output), getattr(expected, output), rtol=1e-11, atol=1e-11)
    assert seen[0] == seen[1]
    with _Calls() as calls:
        engine.predict(graphs[0], outputs)
    assert calls.asking  # an ordinary prediction does ask, and is seen to


def test_only_a_gpu_records() -> None:
    potential = make_random_potential("orb-mini-direct-inf-xtb")
    with pytest.raises(DeviceError, match="CUDA graphs need a CUDA device, got cpu: remove cuda_graphs"):
        Replay(make_engine(potential), 4.5, potential.device)
    with pytest.raises(DeviceError, match="remove cuda_graphs"):
        load_model("orb-mini-direct-inf-xtb", device="cpu", execution=Execution(cuda_graphs=True))
    with pytest.raises(ModelError, match="compile, or cuda_graphs, but not both"):
        load_model("orb-mini-direct-inf-xtb", device="cpu", execution=Execution(cuda_graphs=True, compile=True))


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("kernels", "precision", "tolerance"),
    # Padding changes the size of a product, for which the library may choose another order of its sums.
    [("torch", "float64", 1e-10), ("triton", "float64", 1e-10), ("fused", "float32-high", 1e-2)],
)
@pytest.mark.parametrize("name", MODELS)
def test_a_recording_gives_what_the_engine_gives(name: str, kernels: str, precision: str, tolerance: float) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda:0")
    plain = make_random_potential(name, precision=precision)
    potential = replace(plain, network=plain.network.to(device), device=device)
    engine = Engine(potential.network, potential.precision, MemoryUse(BLOCK, "fast"), device, kernels)
    replay = Replay(engine, potential.record.architecture.cutoff_angstrom, device)
    outputs = choose_outputs(potential)
    first, sizes = None, set()
    for scale in (1.0, 1.004, 0.97, 1.0):  # the last is a repetition after others
        graph = make_graph(potential, scale)
        sizes.add(climb_ladder(len(graph.senders)))
        recorded, expected = replay.predict(graph, outputs), engine.predict(graph, outputs)
        for output in outputs:
            got, wanted = getattr(recorded, output), getattr(expected, output)
            torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)
        first = first or recorded
    assert torch.equal(recorded.forces, first.forces) and recorded.forces.data_ptr() != first.forces.data_ptr()
    assert len(replay._recordings) == len(sizes)
    for scale in (0.9, 0.93, 1.05, 1.1, 1.2):
        graph = make_graph(potential, scale)
        sizes.add(climb_ladder(len(graph.senders)))
        replay.predict(graph, outputs)
    assert len(replay._recordings) == min(MOST_RECORDINGS, len(sizes))
