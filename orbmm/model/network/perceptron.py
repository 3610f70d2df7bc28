"""The multilayer perceptron used in every part of the network."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Perceptron(nn.Sequential):
    """Linear layers NN-0, NN-1, ... with SiLU between them; the names are those in the official state dict."""

    def __init__(self, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        widths = [inputs, *[hidden] * depth, outputs]
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            (f"NN-{index}", nn.Linear(fan_in, fan_out, dtype=torch.float32))
            for index, (fan_in, fan_out) in enumerate(pairwise(widths))
        )
        super().__init__(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., outputs) for features (..., inputs)."""
        return self.finish(self.first(features))

    def finish(self, first: Tensor) -> Tensor:
        """Apply everything after the first linear layer. first: (..., hidden); returns (..., outputs)."""
        for layer in list(self)[1:]:
            first = layer(F.silu(first))
        return first

    @property
    def first(self) -> nn.Linear:
        """Return the first linear layer."""
        return self.linear_layers[0]

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """Return all linear layers, first to last."""
        return [cast(nn.Linear, layer) for layer in self]


class NormalizedPerceptron(nn.Module):
    """A perceptron whose output is scaled to unit root mean square and then by a learned weight."""

    def __init__(self, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.mlp = Perceptron(inputs, hidden, depth, outputs)
        self.layer_norm = nn.RMSNorm(outputs, dtype=torch.float32)

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., outputs) for features (..., inputs)."""
        return self.normalize(self.mlp(features))

    def forward_edges(self, edges: Tensor, nodes: Tensor, senders: Tensor, receivers: Tensor) -> Tensor:
        """Apply the perceptron to [edge, sender, receiver] without storing that concatenation.

        edges: (E, D); nodes: (N, D); senders, receivers: (E,); returns (E, outputs)
        The first matrix acts on the three parts separately: for the nodes once per node instead of once per edge.
        """
        first = self.mlp.first
        width = edges.shape[1]
        for_edges, for_senders, for_receivers = first.weight.split(width, dim=1)  # 3 x (H, D)
        hidden = F.linear(edges, for_edges, first.bias)  # (E, H)
        hidden = hidden + gather(F.linear(nodes, for_senders), senders)
        hidden = hidden + gather(F.linear(nodes, for_receivers), receivers)
        return self.normalize(self.mlp.finish(hidden))

    def normalize(self, values: Tensor) -> Tensor:
        """Return values (..., outputs) scaled, in the precision of the weights: torch.autocast may have lowered it."""
        return self.layer_norm(values.to(self.layer_norm.weight.dtype))


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of values (N, D) at index (E,), as (E, D).

    index_select has the cheaper gradient, but the compiler of torch 2.9 fails on it.
    """
    return values[index] if torch.compiler.is_compiling() else values.index_select(0, index)
