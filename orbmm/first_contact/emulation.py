"""Emulate on a CPU what a GPU rounds: operands of float32 products keep the 10 bits of TF32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Each product of torch, and where its two factors are among the arguments.
_aten = torch.ops.aten
FACTORS = {
    _aten.mm.default: (0, 1),
    _aten.mm.out: (0, 1),
    _aten.bmm.default: (0, 1),
    _aten.mv.default: (0, 1),
    _aten.dot.default: (0, 1),
    _aten.addmm.default: (1, 2),
    _aten.addmm.out: (1, 2),
    _aten.addmm_.default: (1, 2),
    _aten.addmv.default: (1, 2),
    _aten.baddbmm.default: (1, 2),
}
PRODUCTS = ("mm", "bmm", "mv", "dot", "addmm", "addmm_", "addmv", "addmv_", "baddbmm", "baddbmm_", "addbmm", "linear")
KEPT_BITS = ~0x1FFF  # 13 of the 23 bits of a mantissa are lost


def cut(values: Tensor) -> Tensor:
    """Cut float32 values to 10 bits of mantissa, towards zero, as a GPU reads the operands of a product."""
    return (values.contiguous().view(torch.int32) & KEPT_BITS).view(torch.float32)


class TensorFloat32(TorchDispatchMode):
    """Cut the operands of every float32 product inside a `with` block; `products` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function: Callable[..., Any] = func
        if func in FACTORS and all(args[place].dtype == torch.float32 for place in FACTORS[func]):
            self.products += 1
            args = tuple(cut(value) if place in FACTORS[func] else value for place, value in enumerate(args))
        elif func._schema.name.removeprefix("aten::") in PRODUCTS and func not in FACTORS:
            raise NotImplementedError(f"{func} is a product that this emulation does not know")
        return function(*args, **(kwargs or {}))
