"""Allocate arrays: new ones, or the same ones for each block."""

from __future__ import annotations

import torch
from torch import Tensor


class FreshMemory:
    """Allocate a new array for each request, for values that are needed after their block."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """Return an uninitialised array (rows, columns)."""
        return torch.empty(rows, columns, dtype=dtype, device=self.device)


class Workspace(FreshMemory):
    """Return the same array for each request of a name, for values that are not needed after their block."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """Return an uninitialised array (rows, columns); it overwrites the previous array of this name."""
        size = rows * columns
        array = self._arrays.get(name)
        if array is None or array.numel() < size or array.dtype != dtype:
            array = super().take(name, 1, size, dtype).flatten()
            self._arrays[name] = array
        return array[:size].view(rows, columns)
