"""Choose how many edges a block has, and what is kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError, name_nearest
from orbmm.model.inference.free_memory import read_free_bytes
from orbmm.settings.model import MEMORY_MODES

# The widest array of a block should fit in the cache of a processor: 8 MB in float32.
CPU_NUMBERS_PER_BLOCK = 2**21
GPU_SHARE_PER_BLOCK = 1 / 16  # of the free memory
FEWEST_EDGES_PER_BLOCK, MOST_EDGES_PER_BLOCK = 1_024, 262_144
AUTO_SHARE_KEPT = 1 / 2  # of the free memory


class Keep(Enum):
    """The activations of a perceptron that are kept for the backward pass; the others are recomputed."""

    NOTHING = "nothing"
    MOST = "all but the first hidden values"
    ALL = "all"


@dataclass(frozen=True)
class MemoryUse:
    """The memory that a network may use to be faster; results change by rounding at most.

    edges_per_block: edges that are computed together, None for a number that suits the device; changes the rounding
    mode: for conservative models, whose backward pass needs the activations of the forward pass again:
        "fast" keeps them, "lean" computes them twice, "auto" keeps what fits in half of the free memory
    Raises ModelError for an invalid value.
    """

    edges_per_block: int | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        if self.edges_per_block is not None and self.edges_per_block < 1:
            raise ModelError(f"edges_per_block is {self.edges_per_block}, but must be at least 1, or be left out")
        if self.mode not in MEMORY_MODES:
            raise ModelError(f"unknown memory mode '{self.mode}': {name_nearest(self.mode, MEMORY_MODES)}")

    def choose_block(self, architecture: Architecture, device: torch.device) -> int:
        """Return the edges of a block: as set, or what fits the cache of a CPU or a share of a GPU's free memory."""
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
        """Return what is kept of the encoder and of each layer for the backward pass.

        bytes_each: size of one number; free: returns the free bytes, called only in mode "auto"
        """
        if self.mode != "auto":
            return [Keep.ALL if self.mode == "fast" else Keep.NOTHING] * (1 + architecture.layers)
        return divide_memory(architecture, edges * bytes_each, int(AUTO_SHARE_KEPT * free()))


def divide_memory(architecture: Architecture, bytes_per_number: int, free_bytes: int) -> list[Keep]:
    """Return what the encoder and each layer may keep in free_bytes.

    First all but the first hidden values are kept, starting with the last layer; then the first hidden values too.
    bytes_per_number: size of one number for every edge [bytes]
    """
    kept = [Keep.NOTHING] * (1 + architecture.layers)
    free = (
        free_bytes - (architecture.layers + 1) * architecture.latent_dim * bytes_per_number
    )  # the edges of each layer
    hidden = architecture.mlp_hidden_dim * bytes_per_number
    most = (architecture.mlp_depth - 1) * hidden + architecture.latent_dim * bytes_per_number
    for step, cost in ((Keep.MOST, most), (Keep.ALL, hidden)):
        for index in reversed(range(len(kept))):
            if cost > free:
                return kept
            kept[index], free = step, free - cost
    return kept
