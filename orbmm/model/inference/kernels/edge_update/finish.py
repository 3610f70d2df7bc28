"""The last product of the edge update: SiLU, product, RMSNorm, gates and residual connection, in one kernel."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from orbmm.model.inference.kernels.edge_update.protocol import GateInputs, MessageOutputs, NormWeights
from orbmm.model.inference.kernels.edge_update.tiles import Tile

EPSILON = torch.finfo(torch.float32).eps  # of torch.nn.RMSNorm in float32


def launch(
    hidden: Tensor,
    weights: NormWeights,
    gate: GateInputs,
    outputs: MessageOutputs,
    raw: Tensor | None,
    tile: Tile,
) -> None:
    """See EdgeKernels.finish; all rows contiguous."""
    given = (gate.edges, gate.matrix, gate.bias, gate.envelope)
    _launch(hidden, weights, given, (outputs.message, outputs.gates, outputs.edges, raw), tile)


def launch_encoder(hidden: Tensor, weights: NormWeights, edges: Tensor, raw: Tensor | None, tile: Tile) -> None:
    """See EdgeKernels.encode; all rows contiguous."""
    _launch(hidden, weights, None, (None, None, edges, raw), tile)


def _launch(
    hidden: Tensor,
    weights: NormWeights,
    gate: tuple[Tensor, ...] | None,
    outputs: tuple[Tensor | None, ...],
    tile: Tile,
) -> None:
    (rows, inputs), width = hidden.shape, weights.matrix.shape[0]
    if rows == 0:
        return
    tile = tile.fit(width, inputs)
    unused = weights.bias  # a pointer that the kernel does not use may be any
    message, gates, edges, raw = (unused if output is None else output for output in outputs)
    _kernel[(triton.cdiv(rows, tile.rows),)](
        hidden,
        weights.matrix,
        weights.bias,
        weights.scale,
        *(gate or (unused,) * 4),
        message,
        gates,
        edges,
        raw,
        rows,
        EPSILON,
        **name_constants((inputs, width), gate is not None, (outputs[2] is not None, outputs[3] is not None), tile),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def name_constants(
    widths: tuple[int, int], gated: bool, writes: tuple[bool, bool], tile: Tile
) -> dict[str, int | bool]:
    """Return the constants of the kernel.

    widths: of hidden values and edges; gated: computes messages and gates; writes: new edges, and the raw output
    """
    sizes = {"HIDDEN": widths[0], "WIDTH": widths[1], "ROWS": tile.rows, "DEPTH": tile.depth}
    return {**sizes, "GATED": gated, "WRITES_EDGES": writes[0], "WRITES_RAW": writes[1]}


@triton.jit
def _kernel(
    hidden: tl.tensor,
    matrix: tl.tensor,
    bias: tl.tensor,
    scale: tl.tensor,
    edges: tl.tensor,
    gate_matrix: tl.tensor,
    gate_bias: tl.tensor,
    envelope: tl.tensor,
    message: tl.tensor,
    gates: tl.tensor,
    after: tl.tensor,
    raw: tl.tensor,
    row_count: tl.tensor,
    epsilon: tl.tensor,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    GATED: tl.constexpr,
    WRITES_EDGES: tl.constexpr,
    WRITES_RAW: tl.constexpr,
) -> None:
    # 64-bit offsets are added once for the whole program, so that registers hold 32-bit ones.
    first = tl.program_id(0).to(tl.int64) * ROWS
    hidden += first * HIDDEN
    row, column = tl.arange(0, ROWS), tl.arange(0, WIDTH)  # the whole width, because the norm needs it
    present = row < row_count - first
    mask = present[:, None]
    place = row[:, None] * WIDTH + column[None, :]
    if GATED:
        # The gates come first and read the edges once more than needed, from the cache: later registers are short.
        edges += first * WIDTH
        features = tl.load(edges + place, mask=mask, other=0.0).to(tl.float32)
        receive = tl.sum(features * tl.load(gate_matrix + column)[None, :], axis=1) + tl.load(gate_bias)
        send = tl.sum(features * tl.load(gate_matrix + WIDTH + column)[None, :], axis=1) + tl.load(gate_bias + 1)
        cut = tl.load(envelope + first + row, mask=present, other=0.0)
        tl.store(gates + 2 * first + 2 * row, cut / (1.0 + tl.exp(-receive)), mask=present)
        tl.store(gates + 2 * first + 2 * row + 1, cut / (1.0 + tl.exp(-send)), mask=present)
    total = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for start in range(0, HIDDEN, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        values = tl.load(hidden + row[:, None] * HIDDEN + inner[None, :], mask=mask, other=0.0).to(tl.float32)
        active = (values / (1.0 + tl.exp(-values))).to(hidden.dtype.element_ty)
        weights = tl.load(matrix + column[None, :] * HIDDEN + inner[:, None])  # (DEPTH, WIDTH)
        total = tl.dot(active, weights, total, input_precision="tf32")
    total += tl.load(bias + column)[None, :]
    if WRITES_RAW:
        tl.store(raw + first * WIDTH + place, total.to(raw.dtype.element_ty), mask=mask)
    inverse = 1.0 / tl.sqrt(tl.sum(total * total, axis=1) / WIDTH + epsilon)
    total *= inverse[:, None] * tl.load(scale + column)[None, :]
    if GATED:
        tl.store(message + first * WIDTH + place, total.to(message.dtype.element_ty), mask=mask)
    if WRITES_EDGES:
        if GATED:
            total += tl.load(edges + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(after + first * WIDTH + place, total.to(after.dtype.element_ty), mask=mask)
