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
    MessageGradients,
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


def carry_out_backward(kernels: EdgeKernels, case: Case) -> dict[str, Tensor]:
    """Gradients by the hidden values, edges and envelope, from random gradients by the sums and the new edges."""
    hidden, raw, first = _draw_kept(case)
    gate = GateInputs(case.edges, case.envelope, case.gates, case.gate_bias)
    by_edges, by_envelope, block = _draw_gradient(case), torch.zeros_like(case.envelope), case.block
    given = MessageGradients(*case.totals, block.receivers, block.senders, by_edges, by_envelope)
    by_hidden = torch.full_like(hidden, torch.nan)
    kernels.backward_finish((hidden, raw), case.last, gate, given, by_hidden)
    halfway = by_edges.clone()
    by_first, plain = by_hidden.clone(), by_hidden.clone()
    kernels.backward_start(by_first, first, case.first, by_edges)
    last = torch.zeros_like(by_edges)
    kernels.backward_start(plain, None, case.first, last)
    return {
        "by hidden": by_hidden,
        "by gates": halfway,
        "by envelope": by_envelope,
        "by first": by_first,
        "by edges": by_edges,
        "without SiLU": last,
    }


def differentiate_exactly(case: Case) -> dict[str, Tensor]:
    """The same gradients by automatic differentiation of the formulas, in float64."""
    hidden, raw, first = (each.double().requires_grad_() for each in _draw_kept(case))
    edges, envelope = case.edges.double().requires_grad_(), case.envelope.double().requires_grad_()
    by_edges, block = _draw_gradient(case).double(), case.block
    message = raw / (raw.square().mean(dim=1, keepdim=True) + EPSILON).sqrt() * case.last.scale.double()
    gates = torch.sigmoid(edges @ case.gates.double().T + case.gate_bias.double()) * envelope[:, None]
    received, sent = (total.double() for total in case.totals)
    loss = (message * gates[:, :1] * received[block.receivers] + message * gates[:, 1:] * sent[block.senders]).sum()
    loss = loss + ((edges + message) * by_edges).sum()
    by_raw, halfway, by_envelope = torch.autograd.grad(loss, (raw, edges, envelope))
    active = hidden * torch.sigmoid(hidden)
    (by_hidden,) = torch.autograd.grad(active, hidden, by_raw @ case.last.matrix.double())
    (by_first,) = torch.autograd.grad(first * torch.sigmoid(first), first, by_hidden)
    return {
        "by hidden": by_hidden,
        "by gates": halfway,
        "by envelope": by_envelope,
        "by first": by_first,
        "by edges": halfway + by_first @ case.first.double(),
        "without SiLU": by_hidden @ case.first.double(),
    }


def _draw_kept(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values (C, H), raw output (C, D) and first hidden values (C, H) of a forward pass that was not made."""
    count, (hidden, width) = len(case.edges), case.first.shape
    generator = torch.Generator().manual_seed(7)
    drawn = (torch.randn(count, columns, generator=generator) for columns in (hidden, width, hidden))
    return tuple(each.to(case.edges) for each in drawn)


def _draw_gradient(case: Case) -> Tensor:
    return torch.randn(case.edges.shape, generator=torch.Generator().manual_seed(8)).to(case.edges.device)


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
