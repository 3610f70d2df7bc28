"""Rows scaled to unit root mean square, and the way back: one program for each row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.protocol import accumulate_in


def launch(output: Tensor, scale: Tensor) -> Tensor:
    """output (C, D), contiguous, over the root mean square of its row, times scale (D,)."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        _kernel[(rows,)](output, scale, result, *_list_sizes(output))
    return result


def launch_pull_back(slope: Tensor, output: Tensor, scale: Tensor) -> Tensor:
    """The derivative by output (C, D), from that by its normalised rows (C, D)."""
    result = torch.empty_like(output)
    rows = len(output)
    if rows:
        _pull_back_kernel[(rows,)](slope, output, scale, result, *_list_sizes(output))
    return result


def _list_sizes(output: Tensor) -> tuple[int, float, int, tl.dtype]:
    """What both kernels are told of the rows: width, what keeps zero from dividing, columns, and the type of the sums."""
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
    place = tl.program_id(0).to(tl.int64) * width + column
    row = tl.load(output + place, mask=inside, other=0.0).to(REAL)
    inverse = _invert_size(row, width, epsilon)
    scaled = row * inverse * tl.load(scale + column, mask=inside, other=0.0).to(REAL)
    tl.store(result + place, scaled.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _pull_back_kernel(
    slope: tl.tensor,
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
    place = tl.program_id(0).to(tl.int64) * width + column
    row = tl.load(output + place, mask=inside, other=0.0).to(REAL)
    inverse = _invert_size(row, width, epsilon)
    scaled = tl.load(slope + place, mask=inside, other=0.0).to(REAL)
    scaled *= tl.load(scale + column, mask=inside, other=0.0).to(REAL)
    along = tl.sum(scaled * row, axis=0) / width * inverse * inverse
    tl.store(result + place, ((scaled - row * along) * inverse).to(result.dtype.element_ty), mask=inside)
