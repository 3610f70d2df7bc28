"""The bytes of an edge and layer, counted by formula, are those of the arrays that the kernels are given."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from orbmm.checkpoints.architecture import Architecture
from orbmm.model.inference.edge_blocks import cut_into_blocks
from orbmm.model.inference.edge_encoder import build_edge_encoder
from orbmm.model.inference.edge_update import EdgeGradients, EdgeInputs, build_edge_update
from orbmm.model.inference.kernels.edge_update.plain import PlainEdgeKernels
from orbmm.model.inference.kernels.edge_update.traffic import count_backward_cost, count_edge_cost, count_encoder_cost
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.workspace import Workspace
from orbmm.model.network.basis import count_harmonics
from orbmm.model.network.network import Encoder, InteractionLayer
from orbmm.model.precision import Precision, find_precision

PUBLISHED = Architecture()
EDGES, ATOMS = 256, 4  # so few atoms that their arrays do not count
AIM_BYTES = 12_000  # an edge and layer in float16
# What separate steps in plain PyTorch move in float16, an edge and layer, as docs/performance.md says.
SEPARATE_BYTES, SEPARATE_BACKWARD_BYTES, SEPARATE_ENCODER_BYTES = 48_300, 87_400, 31_800


class CountingKernels(PlainEdgeKernels):
    """Counts the bytes of the arrays with a row for each edge that each kernel is given: read or written once."""

    def __init__(self) -> None:
        self.moved: Counter[str] = Counter()

    def _count(self, name: str, *arrays: Tensor | None) -> None:
        self.moved[name] += sum(array.nbytes for array in arrays if array is not None)

    def start(self, values: Any, matrix: Any, added: Any, outputs: Any) -> None:
        ends = () if isinstance(added, Tensor) else (added.senders, added.receivers)
        self._count("start", values, *ends, outputs.before, outputs.after)
        super().start(values, matrix, added, outputs)

    def multiply(self, active: Any, matrix: Any, bias: Any, hidden: Any) -> None:
        self._count("multiply", active, hidden)
        super().multiply(active, matrix, bias, hidden)

    def encode(self, hidden: Any, weights: Any, edges: Any, raw: Any) -> None:
        self._count("encode", hidden, edges, raw)
        super().encode(hidden, weights, edges, raw)

    def finish(self, hidden: Any, weights: Any, gate: Any, outputs: Any, raw: Any) -> None:
        self._count("finish", hidden, gate.edges, gate.envelope, outputs.message, outputs.gates, outputs.edges, raw)
        super().finish(hidden, weights, gate, outputs, raw)

    def add_messages(self, message: Any, gates: Any, block: Any, totals: Any) -> None:
        self._count("add_messages", message, message, gates, block.by_sender.order, block.by_receiver.order)
        super().add_messages(message, gates, block, totals)

    def backward_finish(self, kept: Any, weights: Any, gate: Any, gradients: Any, result: Any) -> None:
        ends = (gradients.receivers, gradients.senders)
        changed = (gradients.edges, gradients.envelope) * 2  # read and written
        self._count("backward_finish", *kept, gate.edges, gate.envelope, *ends, *changed, result)
        super().backward_finish(kept, weights, gate, gradients, result)

    def backward_multiply(self, gradient: Any, matrix: Any, result: Any) -> None:
        self._count("backward_multiply", gradient, result)
        super().backward_multiply(gradient, matrix, result)

    def backward_start(self, gradient: Any, first: Any, matrix: Any, edges: Any) -> None:
        self._count("backward_start", gradient, *(() if first is None else (gradient, first)), edges, edges)
        super().backward_start(gradient, first, matrix, edges)


class CountingSums(PlainKernels):
    """Counts the sums that are no part of the fused kernels, in their counts."""

    def add_sums(self, totals: Any, values: Any, grouping: Any, weights: Any = None) -> None:
        if isinstance(self.edge_update, CountingKernels):
            self.edge_update._count("add_sums", values, grouping.order)
        super().add_sums(totals, values, grouping, weights)


class OperatorBytes(TorchDispatchMode):
    """Counts the bytes that operators read and write. An array is read where it is an argument other than `out`."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_view = any(each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns)
        if not is_view and func is not torch.ops.aten.empty.memory_format:
            arrays = [*args, *(result if isinstance(result, tuple) else [result])]
            self.moved += sum(array.nbytes for array in arrays if isinstance(array, Tensor))
        return result


def run_update(precision_name: str, kernels: Kernels, edge_count: int, backward: bool = False) -> int:
    """The edge update of one layer of published width, on a few edges, or its backward pass with all values kept.

    Returns the bytes that operators of torch move.
    """
    precision, device = find_precision(precision_name), torch.device("cpu")
    update = build_edge_update(InteractionLayer(PUBLISHED).requires_grad_(False), precision, kernels)
    ends = torch.arange(2 * edge_count).reshape(2, edge_count) % ATOMS
    block = cut_into_blocks(ends[0], ends[1], ATOMS, edge_count)[0]
    edges = torch.randn(edge_count, PUBLISHED.latent_dim).to(update.stored)
    parts = torch.randn(2, ATOMS, PUBLISHED.mlp_hidden_dim, dtype=precision.stored_operands(device)).unbind()
    totals = torch.zeros(2, ATOMS, PUBLISHED.latent_dim).unbind()
    inputs = EdgeInputs(edges, torch.ones(edge_count), (parts[0], parts[1]))
    keep, space = Keep.ALL if backward else Keep.NOTHING, Workspace(device)
    with torch.no_grad(), OperatorBytes() as operators:
        kept = update.run(inputs, block, (totals[0], totals[1]), edges, keep, space)
        if backward:
            if isinstance(kernels.edge_update, CountingKernels):
                kernels.edge_update.moved.clear()
            by_parts = torch.zeros(2, ATOMS, PUBLISHED.mlp_hidden_dim).unbind()
            by_edges, by_envelope = torch.zeros(edge_count, PUBLISHED.latent_dim), torch.zeros(edge_count)
            gradients = EdgeGradients(*totals, by_edges, by_envelope, (by_parts[0], by_parts[1]))
            operators.moved = 0
            update.backward(inputs, block, kept, gradients, space)
    return operators.moved


@pytest.mark.parametrize(("precision", "bytes_each"), [("float16", 2), ("float32-high", 4)])
def test_counted_bytes_of_the_backward_pass_are_those_of_the_arrays(precision: str, bytes_each: int) -> None:
    kernels = CountingKernels()
    run_update(precision, CountingSums(kernels), EDGES, backward=True)
    expected = {name: cost.moved for name, cost in count_backward_cost(PUBLISHED, bytes_each).items()}
    assert {name: moved / EDGES for name, moved in kernels.moved.items()} == expected


def test_gradients_move_less_than_a_third_of_what_separate_steps_move(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = sum(cost.moved for cost in count_backward_cost(PUBLISHED, 2).values())
    monkeypatch.setattr(Precision, "stored_operands", lambda self, device: self.operands)  # as on a GPU
    few, many = (run_update("float16", PlainKernels(), edges, backward=True) for edges in (EDGES // 2, EDGES))
    separate = (many - few) / (EDGES // 2)
    assert separate == pytest.approx(SEPARATE_BACKWARD_BYTES, rel=0.01)
    assert fused < separate / 3


@pytest.mark.parametrize(("precision", "bytes_each"), [("float16", 2), ("bfloat16", 2), ("float32-high", 4)])
def test_counted_bytes_are_those_of_the_arrays(precision: str, bytes_each: int) -> None:
    kernels = CountingKernels()
    run_update(precision, PlainKernels(kernels), EDGES)
    expected = {name: cost.moved for name, cost in count_edge_cost(PUBLISHED, bytes_each).items()}
    assert {name: moved / EDGES for name, moved in kernels.moved.items()} == expected


def run_encoder(precision: str, kernels: Kernels, edge_count: int) -> int:
    """The encoder of published width on a few edges. Returns the bytes that operators of torch move."""
    inputs = PUBLISHED.radial_functions * count_harmonics(PUBLISHED.max_degree)
    perceptron = Encoder(PUBLISHED).requires_grad_(False)._edge_fn
    encoder = build_edge_encoder(perceptron, find_precision(precision), kernels)
    is_half = kernels.edge_update is not None and precision == "float16"
    edges = torch.empty(edge_count, PUBLISHED.latent_dim, dtype=torch.float16 if is_half else torch.float32)
    shape, space = torch.randn(edge_count, inputs), Workspace(torch.device("cpu"))
    with torch.no_grad(), OperatorBytes() as operators:
        encoder.run(shape, edges, Keep.NOTHING, space)
    return operators.moved


@pytest.mark.parametrize(("precision", "bytes_each"), [("float16", 2), ("float32-high", 4)])
def test_counted_bytes_of_the_encoder_are_those_of_the_arrays(precision: str, bytes_each: int) -> None:
    kernels = CountingKernels()
    run_encoder(precision, PlainKernels(kernels), EDGES)
    expected = {name: cost.moved for name, cost in count_encoder_cost(PUBLISHED, bytes_each).items()}
    assert {name: moved / EDGES for name, moved in kernels.moved.items()} == expected


def test_the_encoder_moves_less_than_a_third_of_what_its_separate_steps_move(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = sum(cost.moved for cost in count_encoder_cost(PUBLISHED, 2).values())
    monkeypatch.setattr(Precision, "stored_operands", lambda self, device: self.operands)  # as on a GPU
    few, many = (run_encoder("float16", PlainKernels(), edges) for edges in (EDGES, 2 * EDGES))
    assert (many - few) / EDGES == pytest.approx(SEPARATE_ENCODER_BYTES, rel=0.01)
    assert fused < SEPARATE_ENCODER_BYTES / 3


def test_an_edge_moves_at_most_a_quarter_of_what_separate_steps_move(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = sum(cost.moved for cost in count_edge_cost(PUBLISHED, 2).values())
    monkeypatch.setattr(Precision, "stored_operands", lambda self, device: self.operands)  # as on a GPU
    few, many = (run_update("float16", PlainKernels(), edges) for edges in (EDGES, 2 * EDGES))
    separate = (many - few) / EDGES  # without the arrays of weights and atoms
    assert fused <= AIM_BYTES
    assert separate == pytest.approx(SEPARATE_BYTES, rel=0.01)
    assert fused < separate / 4


def test_products_are_counted_as_the_network_has_them() -> None:
    layer = InteractionLayer(PUBLISHED)
    matrices = [linear.weight for linear in layer._edge_mlp.mlp.linear_layers]
    wide = matrices[0].shape[0] * PUBLISHED.latent_dim + sum(matrix.numel() for matrix in matrices[1:])
    assert sum(cost.flops for cost in count_edge_cost(PUBLISHED, 2).values()) == 2 * wide
