"""The edge update of a layer as plain formulas in float64, and random weights and blocks of edges for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.model.inference.edge_blocks import EdgeBlock, cut_into_blocks
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    EdgeKernels,
    GateInputs,
    HiddenOutputs,
    MessageOutputs,
    NormWeights,
)

EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Case:
    """Random inputs of an edge update of C edges between N atoms, with widths D and H."""

    edges: Tensor
    envelope: Tensor
    parts: tuple[Tensor, Tensor]
    first: Tensor
    middle: Tensor
    middle_bias: Tensor
    last: NormWeights
    gates: Tensor
    gate_bias: Tensor
    block: EdgeBlock
    totals: tuple[Tensor, Tensor]


def make_case(edges: int, dtype: torch.dtype, device: torch.device, sizes: tuple[int, int, int]) -> Case:
    """A case with edges and weights in this type. sizes: atoms, D, H; every third atom alone has edges."""
    atoms, width, hidden = sizes
    generator = torch.Generator().manual_seed(edges)

    def draw(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
        return (scale * torch.randn(shape, generator=generator)).to(device, dtype)

    ends = 3 * torch.randint(0, atoms // 3, (2, edges), generator=generator).to(device)
    return Case(
        draw(edges, width, dtype=dtype),
        draw(edges).abs(),
        (draw(atoms, hidden, dtype=dtype), draw(atoms, hidden, dtype=dtype)),
        draw(hidden, width, scale=width**-0.5, dtype=dtype),
        draw(hidden, hidden, scale=hidden**-0.5, dtype=dtype),
        draw(hidden, dtype=dtype),
        NormWeights(draw(width, hidden, scale=hidden**-0.5, dtype=dtype), draw(width), draw(width)),
        draw(2, width, scale=width**-0.5),
        draw(2),
        cut_into_blocks(ends[0], ends[1], atoms, edges)[0],
        (draw(atoms, width), draw(atoms, width)),
    )


def carry_out(kernels: EdgeKernels, case: Case) -> dict[str, Tensor]:
    """Every array that the kernels write, each from the inputs of the case; the edges are changed in place."""
    count, (hidden, width) = len(case.edges), case.first.shape
    edges, totals = case.edges.clone(), (case.totals[0].clone(), case.totals[1].clone())
    first, active, second = (case.edges.new_full((count, hidden), torch.nan) for _ in range(3))
    message, raw = (case.edges.new_full((count, width), torch.nan) for _ in range(2))
    gates = case.envelope.new_full((count, 2), torch.nan)
    parts = AtomParts(*case.parts, case.block.senders, case.block.receivers)
    kernels.start(edges, case.first, parts, HiddenOutputs(first, active))
    kernels.multiply(active, case.middle, case.middle_bias, second)
    gate = GateInputs(edges, case.envelope, case.gates, case.gate_bias)
    kernels.finish(second, case.last, gate, MessageOutputs(message, gates, edges), raw)
    kernels.add_messages(message, gates, case.block, totals)
    written = {"first": first, "active": active, "second": second, "message": message, "raw": raw, "gates": gates}
    written |= encode(kernels, case)
    return {**written, "edges": edges, "received": totals[0], "sent": totals[1]}


def encode(kernels: EdgeKernels, case: Case) -> dict[str, Tensor]:
    """What the encoder's kernels write: the same without atoms, gates and a residual connection."""
    count, (hidden, width) = len(case.edges), case.first.shape
    first, encoded = case.edges.new_full((count, hidden), torch.nan), case.edges.new_full((count, width), torch.nan)
    kernels.start(case.edges, case.first, case.middle_bias, HiddenOutputs(first, None))
    kernels.encode(first, case.last, encoded, None)
    return {"encoder first": first, "encoded": encoded}


def compute_exactly(case: Case) -> dict[str, Tensor]:
    """The same arrays by formula, in float64 and without intermediate rounding."""
    edges, block, last = case.edges.double(), case.block, case.last
    first = edges @ case.first.double().T
    first = first + case.parts[0].double()[block.senders] + case.parts[1].double()[block.receivers]
    active = first * torch.sigmoid(first)
    second = active @ case.middle.double().T + case.middle_bias.double()
    raw, message = _normalize(second, last)
    gates = torch.sigmoid(edges @ case.gates.double().T + case.gate_bias.double()) * case.envelope.double()[:, None]
    received, sent = (total.double().clone() for total in case.totals)
    for edge in range(len(edges)):
        received[block.receivers[edge]] += gates[edge, 0] * message[edge]
        sent[block.senders[edge]] += gates[edge, 1] * message[edge]
    written = {"first": first, "active": active, "second": second, "message": message, "raw": raw, "gates": gates}
    written["encoder first"] = edges @ case.first.double().T + case.middle_bias.double()
    written["encoded"] = _normalize(written["encoder first"], last)[1]
    return {**written, "edges": edges + message, "received": received, "sent": sent}


def _normalize(hidden: Tensor, weights: NormWeights) -> tuple[Tensor, Tensor]:
    raw = (hidden * torch.sigmoid(hidden)) @ weights.matrix.double().T + weights.bias.double()
    return raw, raw / (raw.square().mean(dim=1, keepdim=True) + EPSILON).sqrt() * weights.scale.double()
