"""Rows that share an index are summed in one order, whatever torch does inside index_put; tensors claim a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.stand_in_gpu.device import stand_in_gpu

from orbmm.model.network.grouping import Grouping, _OrderedSum, group_rows, sum_by_index

ATOMS, ROWS = 9, 400


@pytest.fixture
def gpu() -> Iterator[None]:
    with stand_in_gpu():
        yield


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Values of very different size, and an index in which atom 4 never occurs."""
    random = np.random.default_rng(3)
    values = random.normal(size=(ROWS, *shape)) * 10.0 ** random.integers(-4, 4, (ROWS, *[1] * len(shape)))
    index = random.choice([atom for atom in range(ATOMS) if atom != 4], ROWS)
    return torch.from_numpy(values).to(dtype), torch.from_numpy(index)


def sum_in_turn(values: torch.Tensor, index: torch.Tensor) -> np.ndarray:
    """Each row added to its atom, first to last, in the type of the values."""
    totals = np.zeros((ATOMS, *values.shape[1:]), values.numpy().dtype)
    for row, atom in zip(values.numpy(), index.tolist(), strict=True):
        totals[atom] += row
    return totals


@pytest.mark.parametrize("shape", [(), (3,), (3, 3)])
def test_a_gpu_adds_the_rows_of_an_atom_in_their_order(shape: tuple[int, ...], gpu) -> None:
    values, index = draw(shape, torch.float64)
    total = sum_by_index(values.cuda(), index.cuda(), ATOMS)
    expected = sum_in_turn(values, index)
    assert total.is_cuda and not total[4].any()
    np.testing.assert_array_equal(total.cpu().numpy(), expected)
    backwards = sum_in_turn(values.flip(0), index.flip(0))
    assert not np.array_equal(backwards, expected), "another order has other bits"


def test_no_index_put_decides_the_order(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    values, index = draw((3,))
    monkeypatch.setattr(torch.Tensor, "index_put", lambda *_, **__: pytest.fail("index_put was used"))
    monkeypatch.setattr(torch.Tensor, "index_add", lambda *_, **__: pytest.fail("index_add was used"))
    assert sum_by_index(values.cuda(), index.cuda(), ATOMS).shape == (ATOMS, 3)


def test_no_rows_give_zeros(gpu) -> None:
    for shape in ((), (3,), (3, 3)):
        total = sum_by_index(torch.zeros(0, *shape).cuda(), torch.zeros(0, dtype=torch.int64).cuda(), ATOMS)
        assert total.is_cuda and torch.equal(total.cpu(), torch.zeros(ATOMS, *shape))


def test_the_host_does_not_wait(gpu) -> None:
    values, index = (each.cuda() for each in draw((3,)))
    with stand_in_gpu() as operators:
        sum_by_index(values, index, ATOMS)
        assert operators.waits.total() == 0
        index.tolist()
        assert operators.waits.total() == 1


def make_sum() -> tuple[torch.Tensor, torch.Tensor, Grouping]:
    values, index = draw((2,), torch.float64)
    return values[:12] / 1e4, index[:12], group_rows(index[:12], torch.arange(ATOMS + 1))


def test_the_sum_can_be_differentiated_twice_as_training_needs() -> None:
    values, index, grouping = make_sum()

    def cubes(rows: torch.Tensor) -> torch.Tensor:
        return _OrderedSum.apply(rows, index, grouping).pow(3).sum()

    leaf = values.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(cubes, leaf) and torch.autograd.gradgradcheck(cubes, leaf)
    plain = torch.zeros(ATOMS, 2, dtype=torch.float64).index_add(0, index, leaf).pow(3).sum()
    (expected,) = torch.autograd.grad(plain, leaf)
    (gradient,) = torch.autograd.grad(cubes(leaf), leaf)
    torch.testing.assert_close(gradient, expected, rtol=1e-14, atol=0)


def test_a_bag_alone_could_not() -> None:
    values, _, grouping = make_sum()
    leaf = values.clone().requires_grad_(True)
    total = F.embedding_bag(grouping.order, leaf, grouping.starts, mode="sum", include_last_offset=True).pow(3).sum()
    (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="not implemented"):
        torch.autograd.grad(gradient.sum(), leaf)
