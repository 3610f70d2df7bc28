"""The first product of the edge update: edges times matrix, plus the parts of both atoms, and SiLU, in one kernel."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.edge_update.protocol import AtomParts, HiddenOutputs
from orbmm.model.inference.kernels.edge_update.tiles import Tile


def launch(values: Tensor, matrix: Tensor, added: AtomParts | Tensor, outputs: HiddenOutputs, tile: Tile) -> None:
    """See EdgeKernels.start; all rows contiguous."""
    (rows, inputs), hidden = values.shape, matrix.shape[0]
    if rows == 0:
        return
    tile = tile.fit(hidden, inputs)
    if isinstance(added, AtomParts):
        gathers, atoms = True, (added.for_senders, added.for_receivers, added.senders, added.receivers)
    else:
        gathers, atoms = False, (added,) * 4  # a pointer that the kernel does not use may be any
    before, after = (matrix if output is None else output for output in (outputs.before, outputs.after))
    _kernel[(hidden // tile.columns, triton.cdiv(rows, tile.rows))](
        values,
        matrix,
        *atoms,
        before,
        after,
        rows,
        **name_constants((inputs, hidden), gathers, outputs, tile),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def name_constants(widths: tuple[int, int], gathers: bool, outputs: HiddenOutputs, tile: Tile) -> dict[str, int | bool]:
    """Return the constants of the kernel. widths: of inputs and hidden values; gathers: adds the parts of atoms."""
    sizes = {"WIDTH": widths[0], "HIDDEN": widths[1], "ROWS": tile.rows, "COLUMNS": tile.columns, "DEPTH": tile.depth}
    writes = {"WRITES_BEFORE": outputs.before is not None, "WRITES_AFTER": outputs.after is not None}
    return {**sizes, "GATHERS": gathers, **writes}


@triton.jit
def _kernel(
    values: tl.tensor,
    matrix: tl.tensor,
    for_senders: tl.tensor,
    for_receivers: tl.tensor,
    senders: tl.tensor,
    receivers: tl.tensor,
    before: tl.tensor,
    after: tl.tensor,
    row_count: tl.tensor,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GATHERS: tl.constexpr,
    WRITES_BEFORE: tl.constexpr,
    WRITES_AFTER: tl.constexpr,
) -> None:
    # The programs of the same edges follow each other, so that the edges are read from memory once.
    # 64-bit offsets are added once for the whole program, so that registers hold 32-bit ones.
    first = tl.program_id(1).to(tl.int64) * ROWS
    values += first * WIDTH
    row, column = tl.arange(0, ROWS), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    present = row < row_count - first
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, WIDTH, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        tile = tl.load(values + row[:, None] * WIDTH + inner[None, :], mask=present[:, None], other=0.0)
        weights = tl.load(matrix + column[None, :] * WIDTH + inner[:, None])  # (DEPTH, COLUMNS)
        total = tl.dot(tile, weights, total, input_precision="tf32")
    mask = present[:, None]
    if GATHERS:
        sender = tl.load(senders + first + row, mask=present, other=0)[:, None]
        receiver = tl.load(receivers + first + row, mask=present, other=0)[:, None]
        total += tl.load(for_senders + sender * HIDDEN + column[None, :], mask=mask, other=0.0).to(tl.float32)
        total += tl.load(for_receivers + receiver * HIDDEN + column[None, :], mask=mask, other=0.0).to(tl.float32)
    else:
        total += tl.load(for_senders + column)[None, :].to(tl.float32)  # the bias
    place = row[:, None] * HIDDEN + column[None, :]
    if WRITES_BEFORE:
        tl.store(before + first * HIDDEN + place, total.to(before.dtype.element_ty), mask=mask)
    if WRITES_AFTER:
        tl.store(after + first * HIDDEN + place, (total / (1.0 + tl.exp(-total))).to(after.dtype.element_ty), mask=mask)
