"""Compute first += part of the senders + part of the receivers, and SiLU, in one pass over a block."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.protocol import accumulate_in

ROWS, WIDTH, WARPS = 4, 1024, 4  # edges and columns of a program: a thread moves 16 bytes at once


def launch(
    first: Tensor, parts: tuple[Tensor, Tensor], senders: Tensor, receivers: Tensor, active: Tensor | None
) -> None:
    """Overwrite first (C, H) with the sum, and write its SiLU to active (C, H), which may be first; None for no SiLU.

    parts: (N, H) each; senders, receivers: (C,); all rows contiguous
    """
    edges, width = first.shape
    if edges == 0:
        return
    columns = min(WIDTH, triton.next_power_of_2(width))
    out, keeps = (first, False) if active is None else (active, active is not first)
    constants = (keeps, active is not None, ROWS, columns, accumulate_in(first))
    _kernel[(triton.cdiv(edges, ROWS), triton.cdiv(width, columns))](
        first, *parts, senders, receivers, out, edges, width, *constants, num_warps=WARPS
    )


@triton.jit
def _kernel(
    first: tl.tensor,
    for_senders: tl.tensor,
    for_receivers: tl.tensor,
    senders: tl.tensor,
    receivers: tl.tensor,
    out: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    KEEPS: tl.constexpr,
    ACTIVATES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    edge = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    present = edge < count
    mask = present[:, None] & (column < width)
    sender = tl.load(senders + edge, mask=present, other=0)[:, None]
    receiver = tl.load(receivers + edge, mask=present, other=0)[:, None]
    offset = edge[:, None] * width + column
    total = tl.load(first + offset, mask=mask, other=0.0).to(REAL)
    total += tl.load(for_senders + sender * width + column, mask=mask, other=0.0).to(REAL)
    total += tl.load(for_receivers + receiver * width + column, mask=mask, other=0.0).to(REAL)
    stored = total.to(first.dtype.element_ty)
    if KEEPS or not ACTIVATES:
        tl.store(first + offset, stored, mask=mask)
    if ACTIVATES:
        rounded = stored.to(REAL)  # the backward pass starts from the stored, rounded value
        tl.store(out + offset, (rounded / (1.0 + tl.exp(-rounded))).to(out.dtype.element_ty), mask=mask)
