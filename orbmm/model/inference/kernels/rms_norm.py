"""Scale rows to unit root mean square, and the backward pass; a few rows per program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.protocol import accumulate_in

ROWS, WARPS = 8, 4  # of a program: each warp has two rows, so that no norm is summed across warps


def launch(output: Tensor, scale: Tensor) -> Tensor:
    """Return output (C, D), contiguous, divided by the root mean square of each row, times scale (D,)."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        _kernel[(triton.cdiv(rows, ROWS),)](output, scale, result, *_list_sizes(output), num_warps=WARPS)
    return result


def launch_backward(gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
    """Return the gradient by output (C, D). gradient: (C, D), by the normalised rows."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        programs = triton.cdiv(rows, ROWS)
        _backward_kernel[(programs,)](gradient, output, scale, result, *_list_sizes(output), num_warps=WARPS)
    return result


def _list_sizes(output: Tensor) -> tuple[int, int, float, int, int, tl.dtype]:
    """Return the kernel arguments: row count, width, epsilon, rows and columns of a program, accumulation type."""
    count, width = output.shape
    columns = triton.next_power_of_2(width)
    return count, width, torch.finfo(output.dtype).eps, ROWS, columns, accumulate_in(output)


@triton.jit
def _invert_size(rows: tl.tensor, width: tl.tensor, epsilon: tl.tensor) -> tl.tensor:
    return 1.0 / tl.sqrt(tl.sum(rows * rows, axis=1) / width + epsilon)


@triton.jit
def _kernel(
    output: tl.tensor,
    scale: tl.tensor,
    result: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    epsilon: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    row, column = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = column < width
    mask = (row < count)[:, None] & inside[None, :]
    offset = row[:, None] * width + column[None, :]
    values = tl.load(output + offset, mask=mask, other=0.0).to(REAL)
    inverse = _invert_size(values, width, epsilon)[:, None]
    scaled = values * inverse * tl.load(scale + column, mask=inside, other=0.0).to(REAL)[None, :]
    tl.store(result + offset, scaled.to(result.dtype.element_ty), mask=mask)


@triton.jit
def _backward_kernel(
    gradient: tl.tensor,
    output: tl.tensor,
    scale: tl.tensor,
    result: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    epsilon: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    row, column = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = column < width
    mask = (row < count)[:, None] & inside[None, :]
    offset = row[:, None] * width + column[None, :]
    values = tl.load(output + offset, mask=mask, other=0.0).to(REAL)
    inverse = _invert_size(values, width, epsilon)[:, None]
    scaled = tl.load(gradient + offset, mask=mask, other=0.0).to(REAL)
    scaled *= tl.load(scale + column, mask=inside, other=0.0).to(REAL)[None, :]
    along = (tl.sum(scaled * values, axis=1) / width)[:, None] * inverse * inverse
    tl.store(result + offset, ((scaled - values * along) * inverse).to(result.dtype.element_ty), mask=mask)
