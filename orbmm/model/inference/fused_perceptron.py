"""A perceptron on edges whose products are fused with what is around them, for one block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.errors import ModelError
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    EdgeKernels,
    GateInputs,
    HiddenOutputs,
    MessageGradients,
    NormWeights,
)
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.perceptron_pass import Activations, PerceptronPass
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.perceptron import NormalizedPerceptron

NARROWEST = 16  # width of the smallest product of a GPU's matrix units


@dataclass(frozen=True)
class Hidden:
    """Hidden values of C rows before SiLU, (C, H) each.

    first: those of the first layer, None where they were not written; later: those of the other layers
    """

    first: Tensor | None
    later: tuple[Tensor, ...]

    @property
    def last(self) -> Tensor:
        """Return the values that the last product starts from."""
        return self.later[-1] if self.later else self.needed_first

    @property
    def needed_first(self) -> Tensor:
        """Return the first hidden values. Raises ValueError if they were not written."""
        if self.first is None:
            raise ValueError("the first hidden values were not written")
        return self.first


class FusedPerceptron:
    """A NormalizedPerceptron whose values are stored in the type of the operands.

    steps: the same perceptron in separate steps, for its weights and for gradients of the encoder
    Raises ModelError for widths that cannot be divided into tiles.
    """

    def __init__(self, perceptron: NormalizedPerceptron, steps: PerceptronPass, kernels: EdgeKernels) -> None:
        precision = steps.precision
        self.stored = precision.operands or precision.dtype
        self._kernels, self._steps = kernels, steps
        (self._first, self.first_bias), *self._middle, (last, _) = (
            (matrix.to(self.stored), bias.to(self.stored)) for matrix, bias in steps.list_weights()
        )
        check_widths(*last.shape)
        self._padding = _round_up(self._first.shape[1]) - self._first.shape[1]
        self._first = F.pad(self._first, (0, self._padding))  # (H, inputs and padding)
        bias = perceptron.mlp.linear_layers[-1].bias.detach()
        self.last = NormWeights(last, bias, perceptron.layer_norm.weight.detach())

    def round_inputs(self, values: Tensor) -> Tensor:
        """Return values (C, inputs) in the type of the operands, with columns of zeros up to a power of two."""
        return F.pad(values.to(self.stored), (0, self._padding)) if self._padding else values.to(self.stored)

    def compute_hidden(
        self, values: Tensor, added: AtomParts | Tensor, keep: Keep, space: Workspace, memory: FreshMemory
    ) -> Hidden:
        """Return the hidden values of rounded inputs (C, inputs); `memory` allocates those that are kept.

        added: see EdgeKernels.start
        """
        first = None
        if keep is Keep.ALL or not self._middle:
            first = self._take("first", values, memory if keep is Keep.ALL else space)
        if not self._middle:
            self._kernels.start(values, self._first, added, HiddenOutputs(first, None))
            return Hidden(first, ())
        active = self._take("active", values, space)
        later: list[Tensor] = []
        self._kernels.start(values, self._first, added, HiddenOutputs(first, active))
        for number, (matrix, bias) in enumerate(self._middle):
            if number:
                torch.ops.aten.silu.out(later[-1], out=active)
            hidden = self._take(f"later {number}", values, space if keep is Keep.NOTHING else memory)
            self._kernels.multiply(active, matrix, bias, hidden)
            later.append(hidden)
        return Hidden(first, tuple(later))

    def take_raw(self, values: Tensor, keep: Keep, memory: FreshMemory) -> Tensor | None:
        """Return an array (C, D) for the output before the RMSNorm, None if it is not kept."""
        if keep is Keep.NOTHING:
            return None
        return memory.take("raw", len(values), self.last.matrix.shape[0], self.stored)

    def recompute(self, values: Tensor, added: AtomParts | Tensor, space: Workspace) -> Activations:
        """Return all activations of values (C, inputs), to the last bit those of the forward pass."""
        hidden = self.compute_hidden(values, added, Keep.ALL, space, space)
        raw = space.take("raw", len(values), self.last.matrix.shape[0], self.stored)
        unused = space.take("message", len(values), self.last.matrix.shape[0], self.stored)
        self._kernels.encode(hidden.last, self.last, unused, raw)
        return Activations(hidden.first, hidden.later, raw)

    def complete(self, values: Tensor, added: AtomParts | Tensor, kept: Activations, space: Workspace) -> Hidden:
        """Return all hidden values (C, H); the first are computed again if they are not kept."""
        first = kept.first
        if first is None:
            first = self._take("first", values, space)
            self._kernels.start(values, self._first, added, HiddenOutputs(first, None))
        return Hidden(first, kept.later)

    def backward(
        self, hidden: Hidden, raw: Tensor, gate: GateInputs, gradients: MessageGradients, space: Workspace
    ) -> Tensor:
        """Return the gradient by the first hidden values before SiLU (C, H), and change the gradients by the edges.

        hidden: all hidden values; raw: (C, D), the output before the RMSNorm
        """
        result = self._take("gradient", raw, space)
        self._kernels.backward_finish((hidden.last, raw), self.last, gate, gradients, result)
        for number, (matrix, _) in reversed(list(enumerate(self._middle))):
            given, result = result, self._take(f"gradient {number}", raw, space)
            self._kernels.backward_multiply(given, matrix, result)
            if number:
                torch.ops.aten.silu_backward.grad_input(result, hidden.later[number - 1], grad_input=result)
        first = hidden.first if self._middle else None
        self._kernels.backward_start(result, first, self._first, gradients.edges)
        return result

    def convert(self, hidden: Hidden, raw: Tensor) -> tuple[Tensor, Activations]:
        """Return the first hidden values (C, H), and all others with the output, as the separate steps take them."""
        given = self._steps.stored  # on a CPU not that of the operands
        later = tuple(each.to(given) for each in hidden.later)
        return hidden.needed_first.to(given), Activations(None, later, raw.to(self._steps.precision.dtype))

    def _take(self, name: str, values: Tensor, memory: FreshMemory) -> Tensor:
        return memory.take(name, len(values), self._first.shape[0], self.stored)


def select_kept(hidden: Hidden, raw: Tensor | None, keep: Keep) -> Activations | None:
    """Return the activations that `keep` names. raw: (C, D), the output before the RMSNorm."""
    return None if raw is None else Activations(hidden.first if keep is Keep.ALL else None, hidden.later, raw)


def _round_up(width: int) -> int:
    """Return the next power of two, which tiles divide."""
    return max(NARROWEST, 1 << (width - 1).bit_length())


def check_widths(*widths: int) -> None:
    """Raise ModelError unless all widths are powers of two that a GPU's matrix units can divide."""
    if any(width != _round_up(width) for width in widths):
        raise ModelError(
            f"kernels 'fused' need widths that are powers of two from {NARROWEST} on, got "
            f'{", ".join(map(str, widths))}: choose kernels = "triton" or "torch"'
        )
