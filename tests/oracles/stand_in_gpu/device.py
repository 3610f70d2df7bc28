"""A GPU for tests on a machine without one: orbmm takes the branches of a GPU, on real numbers.

    with stand_in_gpu() as operators:
        potential = load_model(name, device="cuda:0", precision="float64")
        potential.predict(...)
    operators.waits, operators.launched, operators.moved

The device of each tensor is tracked at the level of Python's calls into torch. Below that, torch and its autograd work
with tensors of the CPU, so this needs no CUDA build.
Refused, as by CUDA: operands on two devices, NumPy's view of a tensor, and host waits inside a capture. Stricter than
CUDA: indices and values that are assigned must be on the device. Laxer: one number on the host may be any operand.
Not imitated: the rounding, the order of sums, the asynchrony and the speed of a real GPU, and kernels that bypass torch
(Triton, Warp).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from oracles.stand_in_gpu.operators import Operators, list_tensors
from oracles.stand_in_gpu.runtime import Runtime
from oracles.stand_in_gpu.tensor import StandInTensor, place
from torch import Tensor
from torch.overrides import TorchFunctionMode

FREE_BYTES = 2**36  # 64 GB
HOST = torch.device("cpu")
NUMPY = {"numpy", "__array__"}
MOVING = {"to", "cpu", "cuda", "as_tensor"}
FROM_HOST = {"tensor", "as_tensor", "new_tensor", "asarray"}  # make an array of numbers that the host has


@contextmanager
def stand_in_gpu(devices: int = 1, free_bytes: int | tuple[int, ...] = FREE_BYTES) -> Iterator[Operators]:
    """Let torch see CUDA devices in a `with` block; yields the counts of what they are asked to do.

    free_bytes: of every device, or of each
    """
    operators = Operators()
    runtime = Runtime(operators, devices, free_bytes)
    with patch.multiple(torch.cuda, **runtime.list_functions()), _Placement(runtime):
        yield operators


class _Placement(TorchFunctionMode):
    """Follows where tensors are, and refuses what a GPU refuses."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime, self._operators = runtime, runtime.operators

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        name, tensors = func.__name__, list_tensors((args, kwargs))
        held = [tensor for tensor in tensors if isinstance(tensor, StandInTensor)]
        wanted = self._find_wanted(name, args, kwargs)
        on_host = not held and (wanted is None or wanted.type != "cuda")
        if on_host or name == "_parse_to":  # which only reads arguments
            return func(*args, **kwargs)
        if name == "_has_compatible_shallow_copy_type":
            return False  # so Module.to takes new parameters, and does not put the data into the old ones
        args, kwargs = _on_cpu(args), _on_cpu(kwargs)
        if name in MOVING and isinstance(args[0], Tensor):
            return self._move(func, args, kwargs, held[0].device if wanted is None else wanted)
        if held:
            _check_operands(name, held, tensors)
        self._count_waits(name, args, tensors)
        with torch._C.DisableTorchFunctionSubclass():
            with self._operators:
                result = func(*args, **kwargs)
            index = held[0].index if wanted is None else wanted.index
            return result if wanted == HOST else place(result, index, kept=tuple(tensors))

    def _move(self, func: Callable, args: tuple, kwargs: dict[str, Any], wanted: torch.device) -> Tensor:
        """Return args[0] on another device, as a copy, or the result of `to` on the same one."""
        source = args[0]
        if source.device == wanted:
            with torch._C.DisableTorchFunctionSubclass():
                with self._operators:
                    result = source if func.__name__ in ("cuda", "cpu") else func(*args, **kwargs)
                return place(result, wanted.index)
        if HOST in (source.device, wanted):
            self._operators.wait(f"copy to {wanted.type}")
        with torch._C.DisableTorchFunctionSubclass():
            moved = source.as_subclass(Tensor)
            moved = (moved if func.__name__ in ("cuda", "cpu") else func(moved, *args[1:], **kwargs)).clone()
            return moved if wanted == HOST else place(moved, wanted.index)

    def _find_wanted(self, name: str, args: tuple, kwargs: dict[str, Any]) -> torch.device | None:
        """Return the device that a call names, with its number, or None."""
        named = kwargs.get("device")
        if name in ("cpu", "cuda"):
            named = name if named is None else named
        elif named is None:
            named = next((each for each in args if isinstance(each, torch.device)), None)
        if name == "to" and named is None:
            named = next((each for each in args[1:] if isinstance(each, str)), None)
            named = next((each.device for each in args[1:] if isinstance(each, Tensor)), named)
        if named is None:
            return None
        device = torch.device("cuda", named) if isinstance(named, int) else torch.device(named)
        return torch.device("cuda", self._runtime.current) if device == torch.device("cuda") else device

    def _count_waits(self, name: str, args: tuple, tensors: list[Tensor]) -> None:
        if name == "tolist":
            self._operators.wait(name)
        elif name in FROM_HOST or (name in ("__getitem__", "__setitem__") and _has_list(args[1])):
            self._operators.wait("copy to cuda")
        elif name == "copy_" and any(not isinstance(tensor, StandInTensor) for tensor in tensors):
            self._operators.wait("copy_ between host and device")


def _check_operands(name: str, held: list[StandInTensor], tensors: list[Tensor]) -> None:
    """Raise TypeError or RuntimeError, with the words of CUDA, for what CUDA refuses."""
    device = held[0].device
    if name in NUMPY:
        raise TypeError(
            f"can't convert {device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor first"
        )
    strangers = {str(each.device) for each in tensors if each.device != device and (each.is_cuda or each.ndim)}
    if strangers and name != "copy_":
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, {device} and {sorted(strangers)}")


def _has_list(index: Any) -> bool:
    return isinstance(index, list) or (isinstance(index, tuple) and any(isinstance(each, list) for each in index))


def _on_cpu(values: Any) -> Any:
    """Return arguments in which every device that they name is the CPU."""
    if isinstance(values, dict):
        return {key: HOST if key == "device" and value is not None else _on_cpu(value) for key, value in values.items()}
    if type(values) in (tuple, list):
        return type(values)([_on_cpu(value) for value in values])
    names_device = isinstance(values, torch.device) or (isinstance(values, str) and values.startswith("cuda"))
    return HOST if names_device else values
