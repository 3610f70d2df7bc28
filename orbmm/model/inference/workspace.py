"""Arrays for what is worked on: new ones, or the same ones again and again."""

from __future__ import annotations

import torch
from torch import Tensor


class FreshMemory:
    """Gives a new array for each request: for what must outlive its block."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """An array (rows, columns) with anything in it."""
        return torch.empty(rows, columns, dtype=dtype, device=self.device)


class Workspace(FreshMemory):
    """Gives the same array for each request of a name: for what is done with when the next block begins."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """An array (rows, columns) with anything in it; what the name held before is gone."""
        size = rows * columns
        array = self._arrays.get(name)
        if array is None or array.numel() < size or array.dtype != dtype:
            array = super().take(name, 1, size, dtype).flatten()
            self._arrays[name] = array
        return array[:size].view(rows, columns)
