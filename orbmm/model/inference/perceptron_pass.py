"""One perceptron on a block of rows, forwards and backwards, in memory that is used again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.inference.memory import Keep
from orbmm.model.perceptron import NormalizedPerceptron
from orbmm.model.precision import Precision


class FreshMemory:
    """Gives a new array for each request: for what must outlive its block."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """An array (rows, columns) with anything in it."""
        return torch.empty(rows, columns, dtype=dtype, device=self.device)


class Workspace(FreshMemory):
    """Gives the same array for each request of a name: for what is done with when the next block begins."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """An array (rows, columns) with anything in it; what the name held before is gone."""
        size = rows * columns
        array = self._arrays.get(name)
        if array is None or array.numel() < size or array.dtype != dtype:
            array = super().take(name, 1, size, dtype).flatten()
            self._arrays[name] = array
        return array[:size].view(rows, columns)


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

    def __init__(self, perceptron: NormalizedPerceptron, precision: Precision, columns: slice = slice(None)) -> None:
        (matrix, bias), *later = (
            (layer.weight.detach(), layer.bias.detach()) for layer in perceptron.mlp.linear_layers
        )
        self.precision = precision
        self.stored = precision.stored_operands(matrix.device)
        self.first_bias = bias.to(self.stored)  # (H,)
        self._first = precision.round_operand(matrix[:, columns].contiguous()).t()  # (inputs, H)
        self._later = [(precision.round_operand(matrix).t(), bias.to(self.stored)) for matrix, bias in later]
        self._scale = perceptron.layer_norm.weight.detach()  # (D,)

    def start(self, inputs: Tensor, memory: FreshMemory) -> Tensor:
        """The first hidden values before bias and SiLU, in that memory: (C, inputs) to (C, H)."""
        out = memory.take("first", len(inputs), self._first.shape[1], self.stored)
        return torch.mm(self.precision.round_operand(inputs), self._first, out=out)

    def finish(self, first: Tensor, space: Workspace) -> Tensor:
        """From the first hidden values before their SiLU, which are overwritten, to the output before normalisation."""
        hidden = first
        for number, (matrix, bias) in enumerate(self._later):
            active = self.precision.round_operand(F.silu(hidden, inplace=True))  # (C, H)
            out = space.take(f"later {number}", len(first), matrix.shape[1], self.stored)
            hidden = torch.addmm(bias, active, matrix, out=out)  # (C, H), at last (C, D)
        return hidden.to(self.precision.dtype)

    def finish_and_keep(self, first: Tensor, space: Workspace, memory: FreshMemory) -> Activations:
        """The same for the way back; the first hidden values stay as they are. memory: where the others lie."""
        hidden, later = first, []
        for number, (matrix, bias) in enumerate(self._later):
            active = torch.ops.aten.silu.out(
                hidden, out=space.take("active", len(hidden), hidden.shape[1], self.stored)
            )  # (C, H)
            out = memory.take(f"kept {number}", len(first), matrix.shape[1], self.stored)
            hidden = torch.addmm(bias, self.precision.round_operand(active), matrix, out=out)  # (C, H), at last (C, D)
            later.append(hidden)
        return Activations(first, tuple(later[:-1]), later[-1].to(self.precision.dtype))

    def finish_and_trace(
        self, first: Tensor, keep: Keep, space: Workspace, memory: FreshMemory
    ) -> tuple[Tensor, Activations | None]:
        """The output before normalisation (C, D), and as much for the way back as is to be kept."""
        if keep is Keep.NOTHING:
            return self.finish(first, space), None
        activations = self.finish_and_keep(first, space, memory)
        return activations.output, activations if keep is Keep.ALL else replace(activations, first=None)

    def normalize(self, output: Tensor) -> Tensor:
        """Scale rows (C, D) to unit root mean square, times the learned weight."""
        return output * self._invert_size(output) * self._scale  # (C, D)

    def pull_back(self, slope: Tensor, first: Tensor, kept: Activations, space: Workspace) -> Tensor:
        """The derivative by the first hidden values before their SiLU (C, H), from that by the normalised output (C, D)."""
        slope = self._pull_back_norm(slope, kept.output)  # (C, D)
        for number, hidden in reversed(list(enumerate((first, *kept.later)))):
            out = space.take(f"slope {number}", len(hidden), hidden.shape[1], self.stored)
            torch.mm(self.precision.round_operand(slope), self._later[number][0].t(), out=out)
            slope = torch.ops.aten.silu_backward.grad_input(out, hidden, grad_input=out)  # (C, H)
        return slope

    def pull_back_start(self, slope: Tensor) -> Tensor:
        """The derivative by the inputs (C, inputs), from that by the first hidden values (C, H)."""
        return torch.mm(self.precision.round_operand(slope), self._first.t()).to(self.precision.dtype)

    def _invert_size(self, output: Tensor) -> Tensor:
        """One over the root mean square of each row, (C, 1), as torch.nn.RMSNorm takes it."""
        squares = torch.linalg.vector_norm(output, dim=1, keepdim=True).square() / output.shape[1]  # (C, 1)
        return torch.rsqrt(squares + torch.finfo(output.dtype).eps)

    def _pull_back_norm(self, slope: Tensor, output: Tensor) -> Tensor:
        """The derivative of x -> w x / sqrt(mean(x^2) + eps), row by row: (C, D)."""
        inverse = self._invert_size(output)  # (C, 1)
        scaled = slope * self._scale  # (C, D)
        along = (scaled * output).mean(dim=1, keepdim=True) * inverse.square()  # (C, 1)
        return torch.addcmul(scaled, output, along, value=-1.0).mul_(inverse)
