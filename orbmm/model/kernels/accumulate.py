"""The float type that a kernel computes in."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor


def accumulate_in(values: Tensor) -> tl.dtype:
    """float32, whatever shorter type the values have; float64 for float64."""
    return tl.float64 if values.dtype == torch.float64 else tl.float32
