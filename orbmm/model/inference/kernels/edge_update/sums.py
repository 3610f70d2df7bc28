"""Both gated sums of a block, of the messages that an atom receives and of those it sends, in one kernel."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock

ROWS, WIDTH = 16, 256  # messages at a time, and columns of a program


def launch(message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
    """Add messages (C, D) times their gates (C, 2) to the received and sent totals of the atoms, (N, D) each.

    No two programs write the same row, and each adds in the order of the edges: no atomic adds, always the same bits.
    """
    width, groupings = message.shape[1], (block.by_receiver, block.by_sender)
    segments = [len(grouping.atoms) for grouping in groupings]
    if max(segments) == 0:
        return
    columns = min(WIDTH, width)
    tables = (table for grouping in groupings for table in (grouping.order, grouping.starts, grouping.atoms))
    _kernel[(2 * max(segments), width // columns)](
        message, gates, *totals, *tables, *segments, WIDTH=width, ROWS=ROWS, COLUMNS=columns
    )


@triton.jit
def _kernel(
    message: tl.tensor,
    gates: tl.tensor,
    received: tl.tensor,
    sent: tl.tensor,
    receive_order: tl.tensor,
    receive_starts: tl.tensor,
    receive_atoms: tl.tensor,
    send_order: tl.tensor,
    send_starts: tl.tensor,
    send_atoms: tl.tensor,
    receivers: tl.tensor,
    senders: tl.tensor,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    # Even programs sum what an atom receives, odd ones what it sends: neighbours in time read the same messages.
    segment = tl.program_id(0) // 2
    if tl.program_id(0) % 2 == 0:
        if segment < receivers:
            _add_segment(
                message, gates, received, receive_order, receive_starts, receive_atoms, segment, WIDTH, ROWS, COLUMNS
            )
    else:
        if segment < senders:
            _add_segment(message, gates + 1, sent, send_order, send_starts, send_atoms, segment, WIDTH, ROWS, COLUMNS)


@triton.jit
def _add_segment(
    message: tl.tensor,
    gates: tl.tensor,
    totals: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    atoms: tl.tensor,
    segment: tl.tensor,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    begin, end = tl.load(starts + segment), tl.load(starts + segment + 1)
    total = tl.zeros((COLUMNS,), dtype=tl.float32)
    slot = begin  # the interpreter of Triton has no range() over loaded values
    while slot < end:
        slots = slot + tl.arange(0, ROWS)
        present = slots < end
        edge = tl.load(order + slots, mask=present, other=0)  # (ROWS,)
        values = tl.load(message + edge[:, None] * WIDTH + column[None, :], mask=present[:, None], other=0.0)
        gate = tl.load(gates + 2 * edge, mask=present, other=0.0)
        total += tl.sum(values.to(tl.float32) * gate[:, None], axis=0)
        slot += ROWS
    target = totals + tl.load(atoms + segment) * WIDTH + column
    tl.store(target, tl.load(target) + total)
