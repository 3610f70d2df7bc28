"""Scale rows to unit root mean square, and the backward pass; one program per row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.protocol import accumulate_in


def launch(output: Tensor, scale: Tensor) -> Tensor:
    """Return output (C, D), contiguous, divided by the root mean square of each row, times scale (D,)."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        _kernel[(rows,)](output, scale, result, *_list_sizes(output))
    return result


def launch_backward(gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
    """Return the gradient by output (C, D). gradient: (C, D), by the normalised rows."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        _backward_kernel[(rows,)](gradient, output, scale, result, *_list_sizes(output))
    return result


def _list_sizes(output: Tensor) -> tuple[int, float, int, tl.dtype]:
    """Return the kernel arguments: width, epsilon, block width, accumulation type."""
    width = output.shape[1]
    return width, torch.finfo(output.dtype).eps, triton.next_power_of_2(width), accumulate_in(output)


@triton.jit
def _invert_size(row: tl.tensor, width: tl.tensor, epsilon: tl.tensor) -> tl.tensor:
    return 1.0 / tl.sqrt(tl.sum(row * row, axis=0) / width + epsilon)


@triton.jit
def _kernel(
    output: tl.tensor,
    scale: tl.tensor,
    result: tl.tensor,
    width: tl.tensor,
    epsilon: tl.tensor,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    column = tl.arange(0, COLUMNS)
    inside = column < width
    offset = tl.program_id(0).to(tl.int64) * width + column
    row = tl.load(output + offset, mask=inside, other=0.0).to(REAL)
    inverse = _invert_size(row, width, epsilon)
    scaled = row * inverse * tl.load(scale + column, mask=inside, other=0.0).to(REAL)
    tl.store(result + offset, scaled.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _backward_kernel(
    gradient: tl.tensor,
    output: tl.tensor,
    scale: tl.tensor,
    result: tl.tensor,
    width: tl.tensor,
    epsilon: tl.tensor,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    column = tl.arange(0, COLUMNS)
    inside = column < width
    offset = tl.program_id(0).to(tl.int64) * width + column
    row = tl.load(output + offset, mask=inside, other=0.0).to(REAL)
    inverse = _invert_size(row, width, epsilon)
    scaled = tl.load(gradient + offset, mask=inside, other=0.0).to(REAL)
    scaled *= tl.load(scale + column, mask=inside, other=0.0).to(REAL)
    along = tl.sum(scaled * row, axis=0) / width * inverse * inverse
    tl.store(result + offset, ((scaled - row * along) * inverse).to(result.dtype.element_ty), mask=inside)
