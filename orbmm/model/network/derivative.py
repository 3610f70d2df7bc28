"""The gradient of a function of edge vectors, in plain and in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def differentiate(function: Callable[[Tensor], tuple[Tensor, Any]], point: Tensor, keep_graph: bool = False) -> Any:
    """The gradient of a function's first value by its argument, and the second value, a tensor or a tuple of tensors.

    keep_graph: both stay differentiable by the weights, as training needs
    """
    if torch.compiler.is_compiling():  # the compiler follows torch.func through a gradient
        return torch.func.grad(function, has_aux=True)(point)
    with torch.enable_grad():
        leaf = point.detach().requires_grad_(True)
        value, rest = function(leaf)
        (slope,) = torch.autograd.grad(value, leaf, create_graph=keep_graph)
    if keep_graph:
        return slope, rest
    return slope, tuple(part.detach() for part in rest) if isinstance(rest, tuple) else rest.detach()
