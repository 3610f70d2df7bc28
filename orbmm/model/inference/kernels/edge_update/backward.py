"""The backward pass of the edge update's first and last kernel: each with its product and all that is around it."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.edge_update.finish import EPSILON
from orbmm.model.inference.kernels.edge_update.protocol import GateInputs, MessageGradients, NormWeights
from orbmm.model.inference.kernels.edge_update.tiles import Tile


def launch_finish(
    kept: tuple[Tensor, Tensor],
    weights: NormWeights,
    gate: GateInputs,
    gradients: MessageGradients,
    result: Tensor,
    tile: Tile,
) -> None:
    """See EdgeKernels.backward_finish; all rows contiguous."""
    hidden, raw = kept
    rows, width = raw.shape
    if rows == 0:
        return
    tile = tile.fit(hidden.shape[1], width)
    _finish_kernel[(triton.cdiv(rows, tile.rows),)](
        hidden,
        raw,
        weights.matrix,
        weights.scale,
        gate.edges,
        gate.matrix,
        gate.bias,
        gate.envelope,
        gradients.received,
        gradients.sent,
        gradients.receivers,
        gradients.senders,
        gradients.edges,
        gradients.envelope,
        result,
        rows,
        EPSILON,
        **name_finish_constants(hidden.shape[1], width, tile),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def launch_start(gradient: Tensor, first: Tensor | None, matrix: Tensor, edges: Tensor, tile: Tile) -> None:
    """See EdgeKernels.backward_start; all rows contiguous."""
    rows, width = edges.shape
    if rows == 0:
        return
    hidden = gradient.shape[1]
    tile = tile.fit(width, hidden)
    _start_kernel[(triton.cdiv(rows, tile.rows),)](
        gradient,
        gradient if first is None else first,
        matrix,
        edges,
        rows,
        **name_start_constants(hidden, width, first is not None, tile),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def name_finish_constants(hidden: int, width: int, tile: Tile) -> dict[str, int | bool]:
    """Return the constants of the kernel of launch_finish."""
    return {"HIDDEN": hidden, "WIDTH": width, "ROWS": tile.rows, "COLUMNS": tile.columns}


def name_start_constants(hidden: int, width: int, activates: bool, tile: Tile) -> dict[str, int | bool]:
    """Return the constants of the kernel of launch_start."""
    return {"HIDDEN": hidden, "WIDTH": width, "ROWS": tile.rows, "DEPTH": tile.depth, "ACTIVATES": activates}


@triton.jit
def _finish_kernel(
    hidden: tl.tensor,
    raw: tl.tensor,
    matrix: tl.tensor,
    scale: tl.tensor,
    edges: tl.tensor,
    gate_matrix: tl.tensor,
    gate_bias: tl.tensor,
    envelope: tl.tensor,
    grad_received: tl.tensor,
    grad_sent: tl.tensor,
    receivers: tl.tensor,
    senders: tl.tensor,
    grad_edges: tl.tensor,
    grad_envelope: tl.tensor,
    result: tl.tensor,
    row_count: tl.tensor,
    epsilon: tl.tensor,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    # 64-bit offsets are added once for the whole program, so that registers hold 32-bit ones.
    first = tl.program_id(0).to(tl.int64) * ROWS
    row, column = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    present = row < row_count - first
    mask = present[:, None]
    place = row[:, None] * WIDTH + column[None, :]
    for_receive, for_send = tl.load(gate_matrix + column)[None, :], tl.load(gate_matrix + WIDTH + column)[None, :]
    features = tl.load(edges + first * WIDTH + place, mask=mask, other=0.0).to(tl.float32)
    open_receive = 1.0 / (1.0 + tl.exp(-(tl.sum(features * for_receive, axis=1) + tl.load(gate_bias))))
    open_send = 1.0 / (1.0 + tl.exp(-(tl.sum(features * for_send, axis=1) + tl.load(gate_bias + 1))))
    cut = tl.load(envelope + first + row, mask=present, other=0.0)
    values = tl.load(raw + first * WIDTH + place, mask=mask, other=0.0).to(tl.float32)
    inverse = 1.0 / tl.sqrt(tl.sum(values * values, axis=1) / WIDTH + epsilon)
    scales = tl.load(scale + column)[None, :]
    # By the messages: through both sums, and through the new edges.
    receiver = tl.load(receivers + first + row, mask=present, other=0)[:, None]
    arriving = tl.load(grad_received + receiver * WIDTH + column[None, :], mask=mask, other=0.0)
    by_receive = tl.sum(values * scales * arriving, axis=1) * inverse
    gradient = arriving * (open_receive * cut)[:, None]
    sender = tl.load(senders + first + row, mask=present, other=0)[:, None]
    arriving = tl.load(grad_sent + sender * WIDTH + column[None, :], mask=mask, other=0.0)
    by_send = tl.sum(values * scales * arriving, axis=1) * inverse
    gradient += arriving * (open_send * cut)[:, None]
    residual = tl.load(grad_edges + first * WIDTH + place, mask=mask, other=0.0)
    gradient += residual
    # By the gates, which depend on the edges and the envelope.
    spot = grad_envelope + first + row
    by_envelope = by_receive * open_receive + by_send * open_send
    tl.store(spot, tl.load(spot, mask=present, other=0.0) + by_envelope, mask=present)
    residual += (by_receive * cut * open_receive * (1.0 - open_receive))[:, None] * for_receive
    residual += (by_send * cut * open_send * (1.0 - open_send))[:, None] * for_send
    tl.store(grad_edges + first * WIDTH + place, residual, mask=mask)
    # By the output before the RMSNorm, then through the last product and the SiLU before it.
    gradient *= scales
    along = tl.sum(gradient * values, axis=1) / WIDTH * inverse * inverse
    rounded = ((gradient - values * along[:, None]) * inverse[:, None]).to(hidden.dtype.element_ty)
    hidden += first * HIDDEN
    result += first * HIDDEN
    for start in range(0, HIDDEN, COLUMNS):
        outer = start + tl.arange(0, COLUMNS)
        weights = tl.load(matrix + column[:, None] * HIDDEN + outer[None, :])  # (WIDTH, COLUMNS)
        total = tl.dot(rounded, weights, input_precision="tf32")
        spots = row[:, None] * HIDDEN + outer[None, :]
        before = tl.load(hidden + spots, mask=mask, other=0.0).to(tl.float32)
        open_ = 1.0 / (1.0 + tl.exp(-before))
        total *= open_ * (1.0 + before * (1.0 - open_))
        tl.store(result + spots, total.to(result.dtype.element_ty), mask=mask)


@triton.jit
def _start_kernel(
    gradient: tl.tensor,
    before: tl.tensor,
    matrix: tl.tensor,
    grad_edges: tl.tensor,
    row_count: tl.tensor,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    ACTIVATES: tl.constexpr,
) -> None:
    first = tl.program_id(0).to(tl.int64) * ROWS
    gradient += first * HIDDEN
    before += first * HIDDEN
    grad_edges += first * WIDTH
    row, column = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    mask = (row < row_count - first)[:, None]
    total = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for start in range(0, HIDDEN, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        spots = row[:, None] * HIDDEN + inner[None, :]
        values = tl.load(gradient + spots, mask=mask, other=0.0)
        if ACTIVATES:
            hidden = tl.load(before + spots, mask=mask, other=0.0).to(tl.float32)
            open_ = 1.0 / (1.0 + tl.exp(-hidden))
            values = (values.to(tl.float32) * open_ * (1.0 + hidden * (1.0 - open_))).to(gradient.dtype.element_ty)
            tl.store(gradient + spots, values, mask=mask)
        weights = tl.load(matrix + inner[:, None] * WIDTH + column[None, :])  # (DEPTH, WIDTH)
        total = tl.dot(values, weights, total, input_precision="tf32")
    place = grad_edges + row[:, None] * WIDTH + column[None, :]
    tl.store(place, tl.load(place, mask=mask, other=0.0) + total, mask=mask)
