"""The gradient of a function of edge vectors, in plain and in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def differentiate(function: Callable[[Tensor], tuple[Tensor, Any]], point: Tensor, keep_graph: bool = False) -> Any:
    """Return the gradient of a function's first value with respect to its argument, and the second value.

    function: returns a scalar and a second value, which is a tensor or a tuple of tensors
    point: the argument at which the gradient is taken
    keep_graph: keep both results differentiable with respect to the weights, as training needs
    """
    if torch.compiler.is_compiling():  # the compiler can trace a gradient only through torch.func
        return torch.func.grad(function, has_aux=True)(point)
    with torch.enable_grad():
        leaf = point.detach().requires_grad_(True)
        value, rest = function(leaf)
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=keep_graph)
    if keep_graph:
        return gradient, rest
    return gradient, tuple(part.detach() for part in rest) if isinstance(rest, tuple) else rest.detach()
