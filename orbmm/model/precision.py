"""Arithmetic of a prediction, chosen by name and in force for that prediction alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.errors import DeviceError, ModelError, name_nearest


@dataclass(frozen=True)
class Precision:
    """The float type of a prediction, and what the operands of its large matrix products are rounded to.

    dtype: of geometry, node and edge features, normalisation, sums and heads
    allows_tf32: whether a GPU that has TF32 may round the operands to its 10 bits
    operands: what operands of the perceptrons' products are rounded to before, None for no rounding; products are
        accumulated in float32
    """

    name: str
    dtype: torch.dtype
    allows_tf32: bool = False
    operands: torch.dtype | None = None

    @contextmanager
    def in_force(self, device: torch.device) -> Iterator[None]:
        """Set the matrix precision for the block, with the caller's autocast left outside, and put back what was there: other
        torch code keeps its settings, and what it sets changes no prediction."""
        wanted = "high" if self.allows_tf32 and device.type == "cuda" else "highest"
        before = torch.get_float32_matmul_precision()
        with torch.autocast(device.type, enabled=False):
            if before == wanted:
                yield
                return
            torch.set_float32_matmul_precision(wanted)
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)

    def stored_operands(self, device: torch.device) -> torch.dtype:
        """The float type in which operands lie in memory.

        Processors multiply bfloat16 and not float16: there float16 operands are rounded, then carried in float32, which
        gives the same numbers at the speed of float32.
        """
        if self.operands is None or (self.operands == torch.float16 and device.type == "cpu"):
            return self.dtype
        return self.operands

    def round_operand(self, values: Tensor) -> Tensor:
        """Values ready to be an operand: rounded, and in the type that stored_operands names."""
        if self.operands is None:
            return values
        return values.to(self.operands).to(self.stored_operands(values.device))


_PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32-high", torch.float32, allows_tf32=True),
        Precision("float32-highest", torch.float32),
        Precision("float64", torch.float64),
        Precision("float16", torch.float32, operands=torch.float16),
        Precision("bfloat16", torch.float32, operands=torch.bfloat16),
    )
}


def list_precisions() -> tuple[str, ...]:
    """Names that find_precision knows, the default first."""
    return tuple(_PRECISIONS)


def find_precision(name: str) -> Precision:
    """The precision of that name; ModelError names the nearest one otherwise."""
    if name not in _PRECISIONS:
        raise ModelError(f"unknown precision '{name}': {name_nearest(name, _PRECISIONS)}")
    return _PRECISIONS[name]


def find_device(name: str | torch.device | None) -> torch.device:
    """The torch device of that name; None and "auto" mean the first GPU where there is one, else the CPU.

    Raises DeviceError for a device that is not there: a run must not fall back to a slower one in silence.
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device '{name}': expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device '{name}' is not supported: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"device '{name}' was asked for but torch sees {found} CUDA devices: use device='cpu'")
    return device
