"""Gated segment sums over the edges of each atom, and their backward pass; one program per atom, no atomic adds."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.protocol import accumulate_in
from orbmm.model.network.grouping import Grouping

ROWS, WIDTH = 16, 128  # edges at a time, and columns of a program
BACKWARD_ROWS, WARPS = 4, 4  # edges of a program of the backward pass: one for each warp


def launch_sums(totals: Tensor, values: Tensor, grouping: Grouping, weights: Tensor | None) -> None:
    """Add the rows of values (C, W), times their weights (C,) of any stride, to the rows of totals (N, W)."""
    segments, width = len(grouping.atoms), values.shape[1]
    if segments == 0 or width == 0:
        return
    columns = min(WIDTH, triton.next_power_of_2(width))
    gates, stride = (values, 0) if weights is None else (weights, weights.stride(0))
    where = (grouping.order, grouping.starts, grouping.atoms)
    sizes = (width, stride, weights is not None, ROWS, columns, accumulate_in(totals))
    _sum_kernel[(segments, triton.cdiv(width, columns))](totals, values, gates, *where, *sizes)


def launch_backward(
    gradients: tuple[Tensor, Tensor], message: Tensor, gates: Tensor, block: EdgeBlock, grad_edges: Tensor
) -> tuple[Tensor, Tensor]:
    """See Kernels.backward_sums; all rows must be contiguous."""
    edges, width = message.shape
    grad_message, grad_gates = message.new_empty(edges, width), gates.new_empty(edges, 2)
    if edges:
        columns = triton.next_power_of_2(width)
        given = (*gradients, message, gates, block.receivers, block.senders, grad_edges)
        sizes = (edges, width, BACKWARD_ROWS, columns, accumulate_in(message))
        _backward_kernel[(triton.cdiv(edges, BACKWARD_ROWS),)](
            *given, grad_message, grad_gates, *sizes, num_warps=WARPS
        )
    return grad_message, grad_gates


@triton.jit
def _sum_kernel(
    totals: tl.tensor,
    values: tl.tensor,
    weights: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    atoms: tl.tensor,
    width: tl.tensor,
    weight_stride: tl.tensor,
    WEIGHTED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    segment = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    begin, end = tl.load(starts + segment), tl.load(starts + segment + 1)
    total = tl.zeros((COLUMNS,), dtype=REAL)
    row = begin  # the interpreter of Triton has no range() over loaded values
    while row < end:
        slots = row + tl.arange(0, ROWS)
        present = slots < end
        edge = tl.load(order + slots, mask=present, other=0)  # (ROWS,)
        mask = present[:, None] & inside[None, :]
        tile = tl.load(values + edge[:, None] * width + column[None, :], mask=mask, other=0.0).to(REAL)
        if WEIGHTED:
            tile *= tl.load(weights + edge * weight_stride, mask=present, other=0.0).to(REAL)[:, None]
        total += tl.sum(tile, axis=0)
        row += ROWS
    target = (
        totals + tl.load(atoms + segment) * width + column
    )  # each atom in one segment: no two programs write the same row
    tl.store(
        target, (tl.load(target, mask=inside, other=0.0).to(REAL) + total).to(totals.dtype.element_ty), mask=inside
    )


@triton.jit
def _backward_kernel(
    grad_received: tl.tensor,
    grad_sent: tl.tensor,
    message: tl.tensor,
    gates: tl.tensor,
    receivers: tl.tensor,
    senders: tl.tensor,
    grad_edges: tl.tensor,
    grad_message: tl.tensor,
    grad_gates: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    REAL: tl.constexpr,
) -> None:
    edge = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    present = edge < count
    mask = present[:, None] & (column < width)
    offset = edge[:, None] * width + column
    receiver = tl.load(receivers + edge, mask=present, other=0)[:, None]
    sender = tl.load(senders + edge, mask=present, other=0)[:, None]
    values = tl.load(message + offset, mask=mask, other=0.0).to(REAL)
    at_receiver = tl.load(grad_received + receiver * width + column, mask=mask, other=0.0).to(REAL)
    at_sender = tl.load(grad_sent + sender * width + column, mask=mask, other=0.0).to(REAL)
    receive = tl.load(gates + 2 * edge, mask=present, other=0.0).to(REAL)[:, None]
    send = tl.load(gates + 2 * edge + 1, mask=present, other=0.0).to(REAL)[:, None]
    gradient = tl.load(grad_edges + offset, mask=mask, other=0.0).to(REAL) + at_receiver * receive + at_sender * send
    tl.store(grad_message + offset, gradient.to(grad_message.dtype.element_ty), mask=mask)
    by_receive, by_send = tl.sum(values * at_receiver, axis=1), tl.sum(values * at_sender, axis=1)
    tl.store(grad_gates + 2 * edge, by_receive.to(grad_gates.dtype.element_ty), mask=present)
    tl.store(grad_gates + 2 * edge + 1, by_send.to(grad_gates.dtype.element_ty), mask=present)
