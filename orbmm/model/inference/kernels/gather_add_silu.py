"""Compute first += part of the senders + part of the receivers, and SiLU, in one pass over a block."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.protocol import accumulate_in

WIDTH = 1024  # columns of a program


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
    _kernel[(edges, triton.cdiv(width, columns))](
        first, *parts, senders, receivers, out, width, keeps, active is not None, columns, accumulate_in(first)
    )


@triton.jit
def _kernel(
    first: tl.tensor,
    for_senders: tl.tensor,
    for_receivers: tl.tensor,
    senders: tl.tensor,
    receivers: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    KEEPS: tl.constexpr,
    ACTIVATES: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    edge = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    sender, receiver = tl.load(senders + edge), tl.load(receivers + edge)
    offset = edge * width + column
    total = tl.load(first + offset, mask=inside, other=0.0).to(REAL)
    total += tl.load(for_senders + sender * width + column, mask=inside, other=0.0).to(REAL)
    total += tl.load(for_receivers + receiver * width + column, mask=inside, other=0.0).to(REAL)
    stored = total.to(first.dtype.element_ty)
    if KEEPS or not ACTIVATES:
        tl.store(first + offset, stored, mask=inside)
    if ACTIVATES:
        rounded = stored.to(REAL)  # the backward pass starts from the stored, rounded value
        tl.store(out + offset, (rounded / (1.0 + tl.exp(-rounded))).to(out.dtype.element_ty), mask=inside)
