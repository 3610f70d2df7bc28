"""The stand-in for a GPU refuses what CUDA refuses, counts what a GPU would do, and replays as a CUDA graph does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators


@pytest.fixture
def operators() -> Iterator[Operators]:
    with stand_in_gpu(devices=2) as counts:
        yield counts


def make(values: object = (1.0, 2.0, 3.0), device: str = "cuda:0") -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).to(device)


def test_a_tensor_claims_its_device_and_holds_numbers(operators: Operators) -> None:
    values = make()
    assert values.is_cuda and not values.is_cpu and values.device == torch.device("cuda:0")
    for derived in (values + 1, values[1:], values.new_zeros(2), torch.cat([values, values]), values.sort().values):
        assert derived.device == values.device
    assert torch.empty(3, device="cuda").device == torch.device("cuda:0")
    assert type(torch.zeros_like(values, device="cpu")) is torch.Tensor
    assert (2 * values).tolist() == [2.0, 4.0, 6.0]
    assert type(values.cpu()) is torch.Tensor


def test_a_copy_on_the_host_does_not_follow_the_device(operators: Operators) -> None:
    values = make()
    copy = values.cpu()
    values += 1
    assert copy.tolist() == [1.0, 2.0, 3.0] and values.tolist() == [2.0, 3.0, 4.0]


def test_gradients_stay_on_the_device(operators: Operators) -> None:
    leaf = make().requires_grad_(True)
    (gradient,) = torch.autograd.grad((leaf**3).sum(), leaf)
    assert gradient.device == leaf.device and gradient.tolist() == [3.0, 12.0, 27.0]
    assert any(name.startswith("pow") for name in operators.launched)


def test_a_module_moves_with_its_parameters_and_buffers(operators: Operators) -> None:
    module = torch.nn.BatchNorm1d(3).to("cuda:1", torch.float64)
    assert {each.device for each in module.state_dict().values()} == {torch.device("cuda:1")}
    assert all(isinstance(each, torch.nn.Parameter) for each in module.parameters())


@pytest.mark.parametrize(
    "mix",
    [
        lambda values: values + torch.ones(3),
        lambda values: values + make(device="cuda:1"),
        lambda values: values[torch.tensor([0, 1])],
        lambda values: torch.cat([values, torch.ones(3)]),
        lambda values: torch.mv(torch.ones(3, 3, dtype=torch.float64), values),
        lambda values: torch.add(values, 1, out=torch.empty(3)),
    ],
)
def test_operands_on_two_devices_are_refused(operators: Operators, mix: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        mix(make())


def test_one_number_of_the_host_may_be_an_operand(operators: Operators) -> None:
    assert (make() * torch.tensor(2.0)).tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("read", [lambda values: values.numpy(), np.asarray])
def test_numpy_does_not_see_the_device(operators: Operators, read: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        read(make())


WAITS: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda values: values[0].item(),
    "truth": lambda values: bool((values > 0).all()),
    "float": lambda values: float(values[0]),
    "list": lambda values: values.tolist(),
    "copy to the host": lambda values: values.cpu(),
    "copy from the host": lambda values: torch.tensor([1.0], device=values.device),
    "number from the host": lambda values: values.new_tensor([1.0]),
    "nonzero": lambda values: values.nonzero(),
    "mask": lambda values: values[values > 1],
    "index from a list": lambda values: values[[0, 1]],
    "equal": lambda values: torch.equal(values, values),
    "copy_": lambda values: values.copy_(torch.zeros(3)),
    "synchronize": lambda values: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_host_wait_is_counted_and_refused_inside_a_capture(operators: Operators, name: str) -> None:
    values = make()
    operators.forget()
    WAITS[name](values)
    assert operators.waits.total() == 1
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        record(lambda: WAITS[name](values))
    operators.forget()
    values.add(1).sort().values.new_zeros(2)
    assert not operators.waits


def test_operators_and_bytes_are_counted_without_views(operators: Operators) -> None:
    matrix = make([[1.0, 2.0], [3.0, 4.0]])
    operators.forget()
    matrix.t() @ matrix[:, 0]
    assert dict(operators.launched) == {"mv": 1}
    assert operators.moved == 8 * (4 + 2 + 2)


def record(work: Callable[[], object]) -> tuple[torch.cuda.CUDAGraph, object]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph, result


def test_a_replay_repeats_the_work_on_what_the_arrays_now_hold(operators: Operators) -> None:
    values, total = make(), make(0.0)
    graph, result = record(lambda: total.add_((values * values).sum()) + values[1:].cumsum(0))
    assert result.isnan().all()  # nothing was computed while recording
    total.zero_()
    operators.forget()
    graph.replay()
    assert dict(operators.launched) == {"replay": 1}
    assert result.tolist() == [16.0, 19.0]
    values.copy_(make([1.0, 1.0, 1.0]))
    graph.replay()
    assert result.tolist() == [18.0, 19.0]  # 14 of before + 3, + 1 and + 2


def test_a_number_of_the_host_is_the_same_in_every_replay(operators: Operators) -> None:
    values, numbers = make(), iter((10.0, 20.0))
    graph, result = record(lambda: values * next(numbers))
    for _ in range(2):
        graph.replay()
        assert result.tolist() == [10.0, 20.0, 30.0]


def test_gradients_are_replayed_too(operators: Operators) -> None:
    values = make()

    def differentiate() -> torch.Tensor:
        leaf = values.detach().requires_grad_(True)
        return torch.autograd.grad((leaf**3).sum(), leaf)[0]

    graph, gradient = record(differentiate)
    values.copy_(make([2.0, 0.0, 1.0]))
    graph.replay()
    assert gradient.tolist() == [12.0, 0.0, 3.0]


def test_outside_nothing_can_be_done_with_its_tensors() -> None:
    with stand_in_gpu():
        values = make()
    with pytest.raises(RuntimeError, match="outside of stand_in_gpu"):
        values + 1
    assert torch.cuda.is_available.__module__ == "torch.cuda"
