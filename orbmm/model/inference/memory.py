"""How much is worked on, and how much is remembered, at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError, name_nearest
from orbmm.model.inference.free_memory import read_free_bytes
from orbmm.settings.model import MEMORY_MODES

# A block's widest array should stay in a processor's cache: 8 MB in float32.
CPU_NUMBERS_PER_BLOCK = 2**21
GPU_SHARE_PER_BLOCK = 1 / 16  # of the free memory
FEWEST_EDGES_PER_BLOCK, MOST_EDGES_PER_BLOCK = 1_024, 262_144
AUTO_SHARE_KEPT = 1 / 2  # of the free memory


class Keep(Enum):
    """What stays of a perceptron's hidden values for the way back from the energy to the forces; the rest is computed twice."""

    NOTHING = "nothing"
    MOST = "all but the first hidden values"
    ALL = "all"


@dataclass(frozen=True)
class MemoryUse:
    """How a network trades memory for time; the numbers that come out hardly depend on it.

    edges_per_block: edges that are worked on together, None for what suits the device; sums are rounded differently
    mode: for conservative models, which need what they computed once more on the way back from energy to forces:
        "fast" keeps it, "lean" computes it twice, "auto" keeps as much as half of the free memory holds
    Raises ModelError for values that make no sense.
    """

    edges_per_block: int | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        if self.edges_per_block is not None and self.edges_per_block < 1:
            raise ModelError(f"edges_per_block is {self.edges_per_block}, but must be at least 1, or be left out")
        if self.mode not in MEMORY_MODES:
            raise ModelError(f"unknown memory mode '{self.mode}': {name_nearest(self.mode, MEMORY_MODES)}")

    def choose_block(self, architecture: Architecture, device: torch.device) -> int:
        """Edges of a block: as asked for, else what fits the cache of a CPU, or a share of a GPU's free memory."""
        if self.edges_per_block is not None:
            return self.edges_per_block
        if device.type == "cpu":
            return CPU_NUMBERS_PER_BLOCK // architecture.mlp_hidden_dim
        arrays = (architecture.mlp_depth + 3) * architecture.mlp_hidden_dim + 6 * architecture.latent_dim
        fitting = int(GPU_SHARE_PER_BLOCK * read_free_bytes(device)) // (4 * arrays)
        rounded = 2 ** max(0, fitting.bit_length() - 1)
        return min(MOST_EDGES_PER_BLOCK, max(FEWEST_EDGES_PER_BLOCK, rounded))

    def choose_kept(
        self, architecture: Architecture, edges: int, bytes_each: int, free: Callable[[], int]
    ) -> list[Keep]:
        """What stays of the encoder and of each layer on the way from energy to forces; bytes_each: of one number;
        free: tells how many bytes are free, asked in mode "auto" alone."""
        if self.mode != "auto":
            return [Keep.ALL if self.mode == "fast" else Keep.NOTHING] * (1 + architecture.layers)
        return divide_memory(architecture, edges * bytes_each, int(AUTO_SHARE_KEPT * free()))


def divide_memory(architecture: Architecture, bytes_per_number: int, free_bytes: int) -> list[Keep]:
    """What the encoder and each layer may keep in so much memory: first all but the first hidden values, the last
    layers before the others; then those too. bytes_per_number: of one number for each edge."""
    kept = [Keep.NOTHING] * (1 + architecture.layers)
    free = (
        free_bytes - (architecture.layers + 1) * architecture.latent_dim * bytes_per_number
    )  # the edges of each layer
    hidden = architecture.mlp_hidden_dim * bytes_per_number
    most = (architecture.mlp_depth - 1) * hidden + architecture.latent_dim * bytes_per_number
    for step, cost in ((Keep.MOST, most), (Keep.ALL, hidden)):
        for place in reversed(range(len(kept))):
            if cost > free:
                return kept
            kept[place], free = step, free - cost
    return kept
