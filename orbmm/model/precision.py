"""Arithmetic of a prediction, chosen by name and in force for that prediction alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from orbmm.errors import ModelError, name_nearest


@dataclass(frozen=True)
class Precision:
    """A float type and whether matrix products may round their operands to TF32 on a GPU that has it."""

    name: str
    dtype: torch.dtype
    allows_tf32: bool

    @contextmanager
    def in_force(self, device: torch.device) -> Iterator[None]:
        """Set the matrix precision for the block and put back what was there: other torch code keeps its settings."""
        if device.type != "cuda":
            yield
            return
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.allows_tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


_PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32-high", torch.float32, allows_tf32=True),
        Precision("float32-highest", torch.float32, allows_tf32=False),
        Precision("float64", torch.float64, allows_tf32=False),
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
