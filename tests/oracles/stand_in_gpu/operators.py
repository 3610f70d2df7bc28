"""Count what a GPU would be asked to do: operators, bytes and host waits; and record operators for a replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# The host needs the result of the GPU to know how large an array is, or to go on.
WAITING = {
    "_local_scalar_dense",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "equal",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
    "_linalg_check_errors",
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
NOTHING_LAUNCHED = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "_unsafe_view",
    "lift_fresh",
}


@dataclass(frozen=True)
class Call:
    """An operator as it was called. fresh: the arrays that it allocated; runs: False for one that launches nothing."""

    operator: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    fresh: tuple[Tensor, ...]
    runs: bool

    def repeat(self) -> None:
        """Carry the operator out again on the same arrays, and write its results where they were written before."""
        if self.runs:
            results = list_tensors(self.operator(*self.args, **self.kwargs))
            for old, new in zip(self.fresh, results if self.fresh else (), strict=True):
                old.copy_(new)

    def spoil(self) -> None:
        """Fill the arrays with what no result should be made of: a recording computes nothing before its replay."""
        for array in self.fresh:
            array.fill_(torch.nan if array.is_floating_point() else 1)


class Operators(TorchDispatchMode):
    """Counts of the operators in a `with` block, which the stand-in device enters for each of its own calls.

    launched: by name; moved: bytes read and written; waits: reasons why the host waited
    recording: the calls of the capture in progress, None outside of one
    """

    def __init__(self) -> None:
        super().__init__()
        self.recording: list[Call] | None = None
        self.forget()

    def forget(self) -> None:
        """Set all counts to zero."""
        self.launched: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.moved = 0

    def wait(self, reason: str) -> None:
        """Count a host wait. Raises RuntimeError inside a capture, as CUDA does."""
        if self.recording is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {reason}")
        self.waits[reason] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in WAITING or _has_mask(name, args):
            self.wait(name)
        result = func(*args, **kwargs)
        if _is_view(func):
            return result
        runs = name not in NOTHING_LAUNCHED
        if runs:
            self.launched[name] += 1
            self.moved += sum(array.nbytes for array in list_tensors((args, kwargs, result)))
        if self.recording is not None:
            self.recording.append(Call(func, args, kwargs, _list_fresh(args, kwargs, result), runs))
        return result


def list_tensors(values: Any) -> list[Tensor]:
    """List the tensors in nested tuples, lists and dictionaries."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in list_tensors(value)]


def _is_view(operator: Any) -> bool:
    returned = [each.alias_info for each in operator._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)


def _has_mask(name: str, args: tuple) -> bool:
    """Return True if an array is indexed by truth values: a GPU first counts them."""
    return name in INDEXING and any(index.dtype in (torch.bool, torch.uint8) for index in list_tensors(args[1]))


def _list_fresh(args: tuple, kwargs: dict[str, Any], result: Any) -> tuple[Tensor, ...]:
    given = {tensor.untyped_storage().data_ptr() for tensor in list_tensors((args, kwargs))}
    return tuple(each for each in list_tensors(result) if each.untyped_storage().data_ptr() not in given)
