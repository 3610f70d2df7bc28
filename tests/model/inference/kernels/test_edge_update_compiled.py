"""The fused edge update compiles for each architecture in its table, fits its memory and spills nothing.

This needs no GPU. The widths are those of the published networks, the largest there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from oracles.compiled import Compiled, Launch, compile_for

from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError
from orbmm.model.inference.kernels.edge_update.protocol import HiddenOutputs
from orbmm.model.inference.kernels.edge_update.tiles import TILES, WHOLE_ROW, Tile, find_tiles

WIDTH, HIDDEN = Architecture.latent_dim, Architecture.mlp_hidden_dim
BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
USES = ("runs", "keeps", "encoder")  # an update, the same with values for a gradient, and the encoder of edges
SPILLS = ("LDL", "STL")  # instructions that load and store spilled registers
REAL, INDEX = "*fp32", "*i64"

needs_compiler = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"
)


def list_launches(kind: str, capability: int) -> Iterator[tuple[str, Launch]]:
    """Each kernel of a type ("fp16") with its tile for an architecture, for inference and for what a gradient keeps."""
    for use in {"fp16": USES, "fp32": USES[:2], "bf16": USES[:1]}[kind]:
        yield f"start, {use}", launch_start(kind, TILES[capability].choose("start", BYTES[kind]), use)
        yield f"finish, {use}", launch_finish(kind, TILES[capability].choose("finish", BYTES[kind]), use)
    yield "sums", launch_sums(kind)
    if kind == "bf16":
        return
    yield "backward finish", launch_backward_finish(kind, TILES[capability].choose("backward_finish", BYTES[kind]))
    yield "backward start", launch_backward_start(kind, TILES[capability].choose("backward_start", BYTES[kind]))


def launch_start(kind: str, tile: Tile, use: str) -> Launch:
    from orbmm.model.inference.kernels.edge_update import start

    some: Any = 0
    outputs = HiddenOutputs(some if use == "keeps" else None, some)
    widths = (WIDTH, HIDDEN)
    constants = start.name_constants(widths, use != "encoder", outputs, tile.fit(HIDDEN, WIDTH))
    types = [f"*{kind}"] * 4 + [INDEX] * 2 + [f"*{kind}"] * 2 + ["i32"]
    return Launch(start._kernel, types, constants, tile.warps, tile.stages)


def launch_finish(kind: str, tile: Tile, use: str) -> Launch:
    from orbmm.model.inference.kernels.edge_update import finish

    widths, writes = (HIDDEN, WIDTH), (True, use == "keeps")
    constants = finish.name_constants(widths, use != "encoder", writes, tile.fit(WIDTH, HIDDEN))
    half = f"*{kind}"
    types = [half, half, REAL, REAL, half, REAL, REAL, REAL, half, REAL, half, half, "i32", "fp32"]
    return Launch(finish._kernel, types, constants, tile.warps, tile.stages)


def launch_backward_finish(kind: str, tile: Tile) -> Launch:
    from orbmm.model.inference.kernels.edge_update import backward

    half = f"*{kind}"
    types = [*[half] * 3, REAL, half, *[REAL] * 5, INDEX, INDEX, REAL, REAL, half, "i32", "fp32"]
    constants = backward.name_finish_constants(HIDDEN, WIDTH, tile.fit(HIDDEN, WIDTH))
    return Launch(backward._finish_kernel, types, constants, tile.warps, tile.stages)


def launch_backward_start(kind: str, tile: Tile) -> Launch:
    from orbmm.model.inference.kernels.edge_update import backward

    constants = backward.name_start_constants(HIDDEN, WIDTH, True, tile.fit(WIDTH, HIDDEN))
    return Launch(backward._start_kernel, [*[f"*{kind}"] * 3, REAL, "i32"], constants, tile.warps, tile.stages)


def launch_sums(kind: str) -> Launch:
    from orbmm.model.inference.kernels.edge_update import sums

    constants = {"WIDTH": WIDTH, "ROWS": sums.ROWS, "COLUMNS": min(WIDTH, sums.WIDTH)}
    return Launch(sums._kernel, [f"*{kind}", *[REAL] * 3, *[INDEX] * 6, "i32", "i32"], constants)


@cache
def compile_all(kind: str, capability: int) -> dict[str, Compiled]:
    pytest.importorskip("triton")
    return {name: compile_for(launch, capability) for name, launch in list_launches(kind, capability)}


# Code for bfloat16 differs from that for float16 in its products alone: a few kernels on one architecture are enough.
CHOICES = [("bf16", 90), ("fp32", 90), *(("fp16", capability) for capability in TILES)]
CHOICES += [pytest.param("fp32", capability, marks=pytest.mark.slow) for capability in TILES if capability != 90]
choices = pytest.mark.parametrize(("kind", "capability"), CHOICES)


@needs_compiler
@choices
def test_every_kernel_fits_the_shared_memory_and_spills_nothing(kind: str, capability: int) -> None:
    for name, compiled in compile_all(kind, capability).items():
        assert compiled.shared_kb <= TILES[capability].shared_kb, name
        assert compiled.stack_bytes == 0 and not any(map(compiled.count, SPILLS)), name


@needs_compiler
@choices
def test_products_run_on_matrix_units_and_nothing_is_added_atomically(kind: str, capability: int) -> None:
    for name, compiled in compile_all(kind, capability).items():
        assert not any(map(compiled.count, ("ATOM", "ATOMG", "RED", "REDG"))), name
        if name != "sums":
            assert compiled.count("HGMMA") + compiled.count("HMMA") > 0, name
        if capability == 90 and not name.startswith(("sums", "backward finish")):  # whose 32 rows are too few for it
            assert compiled.count("HGMMA") > 0, name


@needs_compiler
@choices
def test_hidden_values_and_messages_move_in_16_bytes(kind: str, capability: int) -> None:
    compiled = compile_all(kind, capability)
    for name in ("start, runs", "finish, runs"):
        assert compiled[name].count("STG.E.128") > 0, name
        assert compiled[name].count("STG.E.64") == 0 and compiled[name].count("STG.E.U16") == 0, name
    assert compiled["sums"].count("LDG.E.128") > 0


@needs_compiler
def test_a_tile_that_is_too_large_would_be_seen() -> None:
    pytest.importorskip("triton")
    tile = TILES[90].choose("finish", 2)
    wide = compile_for(launch_finish("fp16", replace(tile, rows=128), "runs"), 90)
    assert wide.stack_bytes > 0 and wide.count("STL") > 0
    deep = compile_for(launch_finish("fp16", replace(tile, stages=6), "runs"), 90)
    assert deep.shared_kb > TILES[120].shared_kb


@needs_compiler
def test_the_kernels_of_a_small_network_compile_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    for name in ("WIDTH", "HIDDEN"):
        monkeypatch.setattr(f"{__name__}.{name}", 64)  # of the embedded networks
    for name, launch in list_launches("fp16", 90):
        compiled = compile_for(launch, 90)
        assert compiled.stack_bytes == 0 and compiled.shared_kb <= TILES[90].shared_kb, name


def test_a_gpu_that_is_not_listed_gets_the_tiles_that_its_memory_holds() -> None:
    assert find_tiles((9, 0), 227) is TILES[90]
    assert find_tiles((8, 9), 99) is TILES[120]
    assert find_tiles((10, 0), 227) is TILES[90]
    assert find_tiles((8, 7), 163) is TILES[80]
    with pytest.raises(ModelError, match=r"need a GPU of compute capability 8\.0 or newer, got 7\.5"):
        find_tiles((7, 5), 64)


def test_a_tile_shrinks_to_a_narrow_network() -> None:
    tile = TILES[80].choose("finish", 2).fit(64, 32)
    assert (tile.columns, tile.depth, tile.rows) == (64, 32, 64)
    assert WIDTH <= WHOLE_ROW
