"""The tiles of the edge update's products, declared once for each architecture of NVIDIA's GPUs.

They are chosen from compiled code, not from times: they fit the shared memory, leave no register in slow memory, and
are as large as that allows. tests/model/inference/kernels/test_edge_update_compiled.py compiles each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orbmm.errors import ModelError


@dataclass(frozen=True)
class Tile:
    """The part of a product that one program computes: rows by columns, with `depth` terms of the sums at a time.

    warps: of 32 threads each; stages: terms that are loaded while others are multiplied
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int = 3

    def fit(self, columns: int, depth: int) -> Tile:
        """Return the tile for a product that has only so many columns and terms."""
        return replace(self, columns=min(self.columns, columns), depth=min(self.depth, depth))


@dataclass(frozen=True)
class Tiles:
    """The tiles of an architecture.

    shared_kb: shared memory that one program may use [KiB]
    by_use: the tile for each kernel and size of a number (2 or 4 bytes)
    """

    shared_kb: int
    by_use: dict[tuple[str, int], Tile]

    def choose(self, kernel: str, bytes_each: int) -> Tile:
        """Return the tile of a kernel for numbers of this size."""
        return self.by_use[kernel, bytes_each]


WHOLE_ROW = 256  # of edge features: a norm, and its gradient, need the whole row

TILES = {
    80: Tiles(
        163,
        {
            ("start", 2): Tile(128, 128, 64, warps=8),
            ("finish", 2): Tile(64, WHOLE_ROW, 64, warps=16),
            ("backward_finish", 2): Tile(32, 64, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 2): Tile(64, WHOLE_ROW, 32, warps=8),
            ("start", 4): Tile(128, 64, 32, warps=8),
            ("finish", 4): Tile(64, WHOLE_ROW, 32, warps=16),
            ("backward_finish", 4): Tile(16, 64, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 4): Tile(64, WHOLE_ROW, 32, warps=16, stages=2),
        },
    ),
    90: Tiles(
        227,
        {
            ("start", 2): Tile(128, 128, 64, warps=8),
            ("finish", 2): Tile(64, WHOLE_ROW, 64, warps=8),
            ("backward_finish", 2): Tile(32, 64, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 2): Tile(64, WHOLE_ROW, 32, warps=8),
            ("start", 4): Tile(128, 128, 32, warps=8),
            ("finish", 4): Tile(64, WHOLE_ROW, 32, warps=8),
            ("backward_finish", 4): Tile(32, 32, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 4): Tile(64, WHOLE_ROW, 32, warps=8),
        },
    ),
    120: Tiles(
        99,
        {
            ("start", 2): Tile(128, 128, 64, warps=8),
            ("finish", 2): Tile(64, WHOLE_ROW, 32, warps=16),
            ("backward_finish", 2): Tile(32, 64, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 2): Tile(64, WHOLE_ROW, 32, warps=8),
            ("start", 4): Tile(128, 64, 32, warps=8),
            ("finish", 4): Tile(64, WHOLE_ROW, 32, warps=16),
            ("backward_finish", 4): Tile(16, 64, WHOLE_ROW, warps=8, stages=2),
            ("backward_start", 4): Tile(64, WHOLE_ROW, 32, warps=16, stages=2),
        },
    ),
}
"""By compute capability, as 80 for 8.0."""


def find_tiles(capability: tuple[int, int], shared_kb: int) -> Tiles:
    """Return the tiles of a GPU, or those with the most shared memory that it has, if it is not in the table.

    Raises ModelError for a GPU before compute capability 8.0, whose matrix units know neither bfloat16 nor TF32.
    """
    major, minor = capability
    if major < 8:
        raise ModelError(
            f"kernels 'fused' need a GPU of compute capability 8.0 or newer, got {major}.{minor}: "
            'choose kernels = "triton" or "torch"'
        )
    listed = TILES.get(10 * major + minor)
    if listed is not None:
        return listed
    fitting = [tiles for tiles in TILES.values() if tiles.shared_kb <= shared_kb]
    return max(fitting or [SMALLEST], key=lambda tiles: tiles.shared_kb)


SMALLEST = min(TILES.values(), key=lambda tiles: tiles.shared_kb)
