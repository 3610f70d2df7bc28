"""The first product of the edge update: edges times matrix, plus the parts of both atoms, and SiLU, in one kernel."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.kernels.edge_update.tiles import Tile


def launch(
    edges: Tensor,
    matrix: Tensor,
    parts: tuple[Tensor, Tensor],
    block: EdgeBlock,
    outputs: tuple[Tensor | None, Tensor | None],
    tile: Tile,
) -> None:
    """Write the first hidden values (C, H) of edges (C, D), before and after SiLU, to the outputs that are not None.

    matrix: (H, D); parts: (N, H) each, of senders and receivers, bias included; all rows contiguous
    """
    before, after = outputs
    rows, hidden = len(edges), matrix.shape[0]
    if rows == 0:
        return
    tile = tile.fit(hidden, edges.shape[1])
    _kernel[(hidden // tile.columns, triton.cdiv(rows, tile.rows))](
        edges,
        matrix,
        *parts,
        block.senders,
        block.receivers,
        matrix if before is None else before,
        matrix if after is None else after,
        rows,
        **name_constants(edges.shape[1], hidden, outputs, tile),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def name_constants(
    width: int, hidden: int, outputs: tuple[object | None, object | None], tile: Tile
) -> dict[str, int | bool]:
    """Return the constants of the kernel for edges of this width and this many hidden values."""
    writes = {"WRITES_BEFORE": outputs[0] is not None, "WRITES_AFTER": outputs[1] is not None}
    return {"WIDTH": width, "HIDDEN": hidden, "ROWS": tile.rows, "COLUMNS": tile.columns, "DEPTH": tile.depth, **writes}


@triton.jit
def _kernel(
    edges: tl.tensor,
    matrix: tl.tensor,
    for_senders: tl.tensor,
    for_receivers: tl.tensor,
    senders: tl.tensor,
    receivers: tl.tensor,
    before: tl.tensor,
    after: tl.tensor,
    edge_count: tl.tensor,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    WRITES_BEFORE: tl.constexpr,
    WRITES_AFTER: tl.constexpr,
) -> None:
    # The programs of the same edges follow each other, so that the edges are read from memory once.
    # 64-bit offsets are added once for the whole program, so that registers hold 32-bit ones.
    first = tl.program_id(1).to(tl.int64) * ROWS
    edges += first * WIDTH
    row, column = tl.arange(0, ROWS), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    present = row < edge_count - first
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, WIDTH, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        tile = tl.load(edges + row[:, None] * WIDTH + inner[None, :], mask=present[:, None], other=0.0)
        weights = tl.load(matrix + column[None, :] * WIDTH + inner[:, None])  # (DEPTH, COLUMNS)
        total = tl.dot(tile, weights, total, input_precision="tf32")
    sender = tl.load(senders + first + row, mask=present, other=0)
    receiver = tl.load(receivers + first + row, mask=present, other=0)
    mask = present[:, None]
    total += tl.load(for_senders + sender[:, None] * HIDDEN + column[None, :], mask=mask, other=0.0).to(tl.float32)
    total += tl.load(for_receivers + receiver[:, None] * HIDDEN + column[None, :], mask=mask, other=0.0).to(tl.float32)
    place = row[:, None] * HIDDEN + column[None, :]
    if WRITES_BEFORE:
        tl.store(before + first * HIDDEN + place, total.to(before.dtype.element_ty), mask=mask)
    if WRITES_AFTER:
        tl.store(after + first * HIDDEN + place, (total / (1.0 + tl.exp(-total))).to(after.dtype.element_ty), mask=mask)
