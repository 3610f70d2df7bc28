"""One perceptron on a block of rows, forwards and backwards, in memory that is used again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep
from orbmm.model.inference.workspace import FreshMemory, Workspace
from orbmm.model.network.perceptron import NormalizedPerceptron
from orbmm.model.precision import Precision


@dataclass(frozen=True)
class Activations:
    """What the way back through a perceptron needs.

    first: its first hidden values (C, H) before their SiLU, None where they are made again, which is cheap
    later: those of the other hidden layers
    output: (C, D), before its normalisation
    """

    first: Tensor | None
    later: tuple[Tensor, ...]
    output: Tensor


class PerceptronPass:
    """A NormalizedPerceptron with its matrices ready to be multiplied from the right, in the type of the operands.

    The inputs of its first layer may be the left part of what the perceptron is given: see `columns`.
    """

    def __init__(
        self,
        perceptron: NormalizedPerceptron,
        precision: Precision,
        kernels: Kernels,
        columns: slice = slice(None),
    ) -> None:
        (matrix, bias), *later = (
            (layer.weight.detach(), layer.bias.detach()) for layer in perceptron.mlp.linear_layers
        )
        self.precision, self._kernels = precision, kernels
        self.stored = precision.stored_operands(matrix.device)
        self.first_bias = bias.to(self.stored)  # (H,)
        self._first = precision.round_operand(matrix[:, columns].contiguous()).t()  # (inputs, H)
        self._later = [(precision.round_operand(matrix).t(), bias.to(self.stored)) for matrix, bias in later]
        self._scale = perceptron.layer_norm.weight.detach()  # (D,)

    def start(self, inputs: Tensor, memory: FreshMemory) -> Tensor:
        """The first hidden values before bias and SiLU, in that memory: (C, inputs) to (C, H)."""
        out = memory.take("first", len(inputs), self._first.shape[1], self.stored)
        return torch.mm(self.precision.round_operand(inputs), self._first, out=out)

    def finish(self, active: Tensor, space: Workspace) -> Tensor:
        """From the first hidden values after their SiLU (C, H) to the output before normalisation (C, D)."""
        hidden = active
        for number, (matrix, bias) in enumerate(self._later):
            if number:
                F.silu(hidden, inplace=True)
            out = space.take(f"later {number}", len(active), matrix.shape[1], self.stored)
            hidden = torch.addmm(bias, self.precision.round_operand(hidden), matrix, out=out)  # (C, H), at last (C, D)
        return hidden.to(self.precision.dtype)

    def finish_and_keep(self, first: Tensor, active: Tensor, space: Workspace, memory: FreshMemory) -> Activations:
        """The same for the way back, where the first hidden values before their SiLU are wanted too.

        first, active: (C, H), before and after that SiLU; active is overwritten; memory: where what is kept lies
        """
        hidden, later = first, []
        for number, (matrix, bias) in enumerate(self._later):
            if number:
                active = space.take("active", len(hidden), hidden.shape[1], self.stored)
                torch.ops.aten.silu.out(hidden, out=active)  # (C, H)
            out = memory.take(f"kept {number}", len(first), matrix.shape[1], self.stored)
            hidden = torch.addmm(bias, self.precision.round_operand(active), matrix, out=out)  # (C, H), at last (C, D)
            later.append(hidden)
        return Activations(first, tuple(later[:-1]), later[-1].to(self.precision.dtype))

    def place_active(self, first: Tensor, keep: Keep, space: Workspace) -> Tensor:
        """Where the SiLU of the first hidden values (C, H) goes: on top of them, if nothing is kept."""
        return first if keep is Keep.NOTHING else space.take("active", len(first), first.shape[1], first.dtype)

    def finish_and_trace(
        self, first: Tensor, active: Tensor, keep: Keep, space: Workspace, memory: FreshMemory
    ) -> tuple[Tensor, Activations | None]:
        """The output before normalisation (C, D), and as much for the way back as is to be kept."""
        if keep is Keep.NOTHING:
            return self.finish(active, space), None
        activations = self.finish_and_keep(first, active, space, memory)
        return activations.output, activations if keep is Keep.ALL else replace(activations, first=None)

    def normalize(self, output: Tensor) -> Tensor:
        """Scale rows (C, D) to unit root mean square, times the learned weight."""
        return self._kernels.normalize(output, self._scale)  # (C, D)

    def pull_back(self, slope: Tensor, first: Tensor, kept: Activations, space: Workspace) -> Tensor:
        """The derivative by the first hidden values before their SiLU (C, H), from that by the normalised output (C, D)."""
        slope = self._kernels.pull_back_norm(slope, kept.output, self._scale)  # (C, D)
        for number, hidden in reversed(list(enumerate((first, *kept.later)))):
            out = space.take(f"slope {number}", len(hidden), hidden.shape[1], self.stored)
            torch.mm(self.precision.round_operand(slope), self._later[number][0].t(), out=out)
            slope = torch.ops.aten.silu_backward.grad_input(out, hidden, grad_input=out)  # (C, H)
        return slope

    def pull_back_start(self, slope: Tensor) -> Tensor:
        """The derivative by the inputs (C, inputs), from that by the first hidden values (C, H)."""
        return torch.mm(self.precision.round_operand(slope), self._first.t()).to(self.precision.dtype)
