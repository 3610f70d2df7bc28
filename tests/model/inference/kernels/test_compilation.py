"""The kernels compile for a GPU; this needs none. What they compute is in test_kernels.py."""

from __future__ import annotations

import os
import re

import pytest


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")
@pytest.mark.parametrize("real", ["*fp32", "*fp16", "*bf16", "*fp64"])
@pytest.mark.parametrize("name", ["gather_add_silu", "gated_sum", "gated_sum back", "rms_norm", "rms_norm back"])
def test_a_kernel_compiles_for_an_h100_and_adds_without_atomics(name: str, real: str) -> None:
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, types, constants = describe(name, real)
    names = [parameter.name for parameter in kernel.params]
    signature = {**dict(zip(names, types, strict=False)), **dict.fromkeys(constants, "constexpr")}
    fixed = {(names.index(key),): value for key, value in constants.items()}
    compiled = triton.compile(ASTSource(fn=kernel, signature=signature, constexprs=fixed), GPUTarget("cuda", 90, 32))
    assert len(compiled.asm["cubin"]) > 0
    assert re.search(r"\b(atom|red)\.", compiled.asm["ptx"]) is None


def describe(name: str, real: str):  # type: ignore[no-untyped-def]
    """A kernel, the types of its arguments in order, and its constants."""
    import triton.language as tl

    from orbmm.model.inference.kernels import gated_sum, gather_add_silu, rms_norm

    fixed = {"COLUMNS": 256, "REAL": tl.float64 if real == "*fp64" else tl.float32}
    index = "*i64"
    return {
        "gather_add_silu": (
            gather_add_silu._kernel,
            [real, real, real, index, index, real, "i32"],
            {"KEEPS": True, "ACTIVATES": True, **fixed},
        ),
        "gated_sum": (
            gated_sum._sum_kernel,
            [real, real, real, index, index, index, "i32", "i32"],
            {"WEIGHTED": True, "ROWS": gated_sum.ROWS, **fixed},
        ),
        "gated_sum back": (gated_sum._backward_kernel, [real] * 4 + [index] * 2 + [real] * 3 + ["i32"], fixed),
        "rms_norm": (rms_norm._kernel, [real, real, real, "i32", "fp32"], fixed),
        "rms_norm back": (rms_norm._backward_kernel, [real] * 4 + ["i32", "fp32"], fixed),
    }[name]
