"""One perceptron on a block of rows, forward and backward, in memory that is reused for each block."""

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
    """Values of the forward pass saved for the backward pass through a perceptron.

    first: (C, H), first hidden values before SiLU, None where they are recomputed, which is cheap
    later: (C, H) each, those of the other hidden layers
    output: (C, D), before normalisation
    """

    first: Tensor | None
    later: tuple[Tensor, ...]
    output: Tensor


class PerceptronPass:
    """A NormalizedPerceptron with transposed matrices in the type of the operands.

    columns: the inputs that `start` takes, if not all; layer_pass adds the contribution of the others
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

    def list_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Return matrix (outputs, inputs) and bias (outputs,) of each product, rounded and stored as operands."""
        return [(matrix.t(), bias) for matrix, bias in ((self._first, self.first_bias), *self._later)]

    def start(self, inputs: Tensor, memory: FreshMemory) -> Tensor:
        """Return the first hidden values (C, H) of inputs (C, inputs), before bias and SiLU, allocated in `memory`."""
        out = memory.take("first", len(inputs), self._first.shape[1], self.stored)
        return torch.mm(self.precision.round_operand(inputs), self._first, out=out)

    def finish(self, active: Tensor, space: Workspace) -> Tensor:
        """Return the output before normalisation (C, D). active: (C, H), first hidden values after SiLU."""
        hidden = active
        for number, (matrix, bias) in enumerate(self._later):
            if number:
                F.silu(hidden, inplace=True)
            out = space.take(f"later {number}", len(active), matrix.shape[1], self.stored)
            hidden = torch.addmm(bias, self.precision.round_operand(hidden), matrix, out=out)  # (C, H), at last (C, D)
        return hidden.to(self.precision.dtype)

    def finish_and_keep(self, first: Tensor, active: Tensor, space: Workspace, memory: FreshMemory) -> Activations:
        """Return the output before normalisation together with all hidden values, for the backward pass.

        first, active: (C, H), first hidden values before and after SiLU; active is overwritten
        memory: allocates the values that are kept
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
        """Return the array for SiLU of the first hidden values (C, H): the same array if nothing is kept."""
        return first if keep is Keep.NOTHING else space.take("active", len(first), first.shape[1], first.dtype)

    def finish_and_trace(
        self, first: Tensor, active: Tensor, keep: Keep, space: Workspace, memory: FreshMemory
    ) -> tuple[Tensor, Activations | None]:
        """Return the output before normalisation (C, D), and the activations that `keep` names."""
        if keep is Keep.NOTHING:
            return self.finish(active, space), None
        activations = self.finish_and_keep(first, active, space, memory)
        return activations.output, activations if keep is Keep.ALL else replace(activations, first=None)

    def normalize(self, output: Tensor) -> Tensor:
        """Scale rows (C, D) to unit root mean square, times the learned weight (D,)."""
        return self._kernels.normalize(output, self._scale)  # (C, D)

    def backward(self, gradient: Tensor, first: Tensor, kept: Activations, space: Workspace) -> Tensor:
        """Return the gradient by the first hidden values before SiLU (C, H).

        gradient: (C, D), by the normalised output; first: (C, H), first hidden values before SiLU
        """
        gradient = self._kernels.backward_norm(gradient, kept.output, self._scale)  # (C, D)
        for number, hidden in reversed(list(enumerate((first, *kept.later)))):
            out = space.take(f"gradient {number}", len(hidden), hidden.shape[1], self.stored)
            torch.mm(self.precision.round_operand(gradient), self._later[number][0].t(), out=out)
            gradient = torch.ops.aten.silu_backward.grad_input(out, hidden, grad_input=out)  # (C, H)
        return gradient

    def backward_start(self, gradient: Tensor) -> Tensor:
        """Return the gradient by the inputs (C, inputs). gradient: (C, H), by the first hidden values."""
        return torch.mm(self.precision.round_operand(gradient), self._first.t()).to(self.precision.dtype)
