"""Tensors that claim a CUDA device and hold real numbers on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class StandInTensor(Tensor):
    """A tensor of the CPU, for torch's own code and its autograd; for code that asks, a tensor on cuda:index.

    Torch functions take it only inside `stand_in_gpu`, which keeps the books of what is where.
    """

    index = 0
    is_cuda = True
    is_cpu = False

    @property
    def device(self) -> torch.device:
        """The device that the tensor claims."""
        return torch.device("cuda", self.index)

    def get_device(self) -> int:
        """The number of the device that the tensor claims."""
        return self.index

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        raise RuntimeError(f"{func.__name__} was called on a tensor of a stand-in GPU, outside of stand_in_gpu()")


def place(values: Any, index: int, kept: tuple[Tensor, ...] = ()) -> Any:
    """Return a result with its tensors on the device cuda:index, without a copy; those in `kept` stay as they are."""
    if isinstance(values, Tensor):
        if isinstance(values, StandInTensor) or any(values is each for each in kept):
            return values
        placed = values.as_subclass(StandInTensor)
        placed.index = index
        return placed
    if isinstance(values, tuple | list):
        return type(values)([place(value, index, kept) for value in values])
    return values


def carry_out_on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a library that does not go through torch, so that it takes and gives stand-in tensors."""

    def run(first: StandInTensor, *args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            plain = {name: _uncover(value) for name, value in kwargs.items()}
            return place(function(_uncover(first), *(_uncover(value) for value in args), **plain), first.index)

    return run


def _uncover(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, StandInTensor) else value
