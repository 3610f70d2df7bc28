"""The kernels compile for a GPU; this needs none. What they compute is in test_kernels.py."""

from __future__ import annotations

import os

import pytest
from oracles.compiled import Compiled, Launch, compile_for

KINDS = ("fp32", "fp16", "bf16", "fp64")
BYTES = {"fp32": 4, "fp16": 2}
# Arrays with a row for each edge that a kernel reads and writes; a sum writes one row for each atom.
ROW_ARRAYS = {
    "gather_add_silu": (3, 2),
    "gated_sum": (1, 0),
    "gated_sum back": (4, 1),
    "rms_norm": (1, 1),
    "rms_norm back": (2, 1),
}
NAMES = tuple(ROW_ARRAYS)
HIDDEN, FEATURES = 1024, 256  # of the published networks

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")


def make(name: str, kind: str, **changes: int) -> Compiled:
    pytest.importorskip("triton")
    return compile_for(describe(name, kind, **changes), 90)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_compiles_for_an_h100_without_atomics_and_without_spills(name: str, kind: str) -> None:
    compiled = make(name, kind)
    assert not any(map(compiled.count, ("ATOM", "ATOMG", "RED", "REDG", "LDL", "STL")))
    assert compiled.stack_bytes == 0


@pytest.mark.parametrize("kind", ["fp32", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_move_in_pieces_of_16_bytes(name: str, kind: str) -> None:
    pytest.importorskip("triton")
    loads, stores = count_pieces(describe(name, kind), kind, *ROW_ARRAYS[name])
    compiled = make(name, kind)
    assert compiled.count("LDG.E.128") >= loads >= 1
    assert compiled.count("STG.E.128") >= stores


def test_smaller_pieces_would_be_seen() -> None:
    pytest.importorskip("triton")
    loads, _ = count_pieces(describe("rms_norm", "fp32"), "fp32", *ROW_ARRAYS["rms_norm"])
    assert loads == 4
    assert make("rms_norm", "fp32", ROWS=1).count("LDG.E.128") == 0


def count_pieces(launch: Launch, kind: str, reads: int, writes: int) -> tuple[float, float]:
    """The 16-byte pieces of rows that a thread loads and stores, if it moves nothing smaller."""
    each = launch.constants["ROWS"] * launch.constants["COLUMNS"] * BYTES[kind] / 16 / (32 * launch.warps)
    return reads * each, writes * each


def describe(name: str, kind: str, **changes: int) -> Launch:
    """A kernel as it is launched for the published networks."""
    import triton.language as tl

    from orbmm.model.inference.kernels import gated_sum, gather_add_silu, rms_norm

    real, index = f"*{kind}", "*i64"
    accumulates = {"REAL": tl.float64 if kind == "fp64" else tl.float32}
    whole = {"COLUMNS": FEATURES, **accumulates}
    kernel, types, constants, warps = {
        "gather_add_silu": (
            gather_add_silu._kernel,
            [real, real, real, index, index, real, "i32", "i32"],
            {"KEEPS": True, "ACTIVATES": True, "ROWS": gather_add_silu.ROWS, "COLUMNS": HIDDEN, **accumulates},
            gather_add_silu.WARPS,
        ),
        "gated_sum": (
            gated_sum._sum_kernel,
            [real, real, real, index, index, index, "i32", "i32"],
            {"WEIGHTED": True, "ROWS": gated_sum.ROWS, "COLUMNS": gated_sum.WIDTH, **accumulates},
            4,
        ),
        "gated_sum back": (
            gated_sum._backward_kernel,
            [real] * 4 + [index] * 2 + [real] * 3 + ["i32", "i32"],
            {"ROWS": gated_sum.BACKWARD_ROWS, **whole},
            gated_sum.WARPS,
        ),
        "rms_norm": (
            rms_norm._kernel,
            [real, real, real, "i32", "i32", "fp32"],
            {"ROWS": rms_norm.ROWS, **whole},
            rms_norm.WARPS,
        ),
        "rms_norm back": (
            rms_norm._backward_kernel,
            [real] * 4 + ["i32", "i32", "fp32"],
            {"ROWS": rms_norm.ROWS, **whole},
            rms_norm.WARPS,
        ),
    }[name]
    return Launch(kernel, types, {**constants, **changes}, warps)
