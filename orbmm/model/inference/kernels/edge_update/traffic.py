"""Count the bytes and operations of the fused edge update, for predictions of its time."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.checkpoints.architecture import Architecture
from orbmm.model.network.basis import count_harmonics

INDEX_BYTES, REAL_BYTES = 8, 4  # of an int64, and of a gate or envelope in float32


@dataclass(frozen=True)
class EdgeCost:
    """The cost of one edge in one kernel.

    moved: bytes of the arrays with a row for each edge, read or written
    gathered: bytes of rows of the atoms' arrays, which come from the cache where neighbours in the list share an atom
    flops: operations of the products on matrix units
    """

    moved: int
    gathered: int = 0
    flops: int = 0


def count_edge_cost(architecture: Architecture, bytes_each: int) -> dict[str, EdgeCost]:
    """Return the cost of one edge and layer by kernel, in the order in which they run.

    bytes_each: of a stored number, 2 in float16 and bfloat16, 4 in float32. The last layer writes no edges.
    """
    hidden = architecture.mlp_hidden_dim * bytes_each
    features = architecture.latent_dim * bytes_each
    outer = 2 * architecture.latent_dim * architecture.mlp_hidden_dim
    inner = architecture.mlp_depth - 1
    gates = 2 * REAL_BYTES
    return {
        "start": EdgeCost(features + hidden + 2 * INDEX_BYTES, gathered=2 * hidden, flops=outer),
        "multiply": EdgeCost(inner * 2 * hidden, flops=inner * 2 * architecture.mlp_hidden_dim**2),
        "finish": EdgeCost(hidden + 3 * features + gates + REAL_BYTES, flops=outer),
        "add_messages": EdgeCost(2 * (features + INDEX_BYTES) + gates),
    }


def count_encoder_cost(architecture: Architecture, bytes_each: int) -> dict[str, EdgeCost]:
    """Return the cost of one edge in the encoder by kernel, from its functions (R * A numbers) on."""
    inputs = architecture.radial_functions * count_harmonics(architecture.max_degree)
    hidden, features = architecture.mlp_hidden_dim * bytes_each, architecture.latent_dim * bytes_each
    layer = count_edge_cost(architecture, bytes_each)
    return {
        "start": EdgeCost(inputs * bytes_each + hidden, flops=2 * inputs * architecture.mlp_hidden_dim),
        "multiply": layer["multiply"],
        "encode": EdgeCost(hidden + features, flops=layer["finish"].flops),
    }


def count_backward_cost(architecture: Architecture, bytes_each: int) -> dict[str, EdgeCost]:
    """Return the cost of one edge and layer of the backward pass by kernel, where all activations were kept.

    The first layer adds no gradients to its atoms.
    """
    hidden, features = architecture.mlp_hidden_dim * bytes_each, architecture.latent_dim * bytes_each
    gradient = 2 * architecture.latent_dim * REAL_BYTES  # by the edges, read and written in float32
    update = count_edge_cost(architecture, bytes_each)
    inner = architecture.mlp_depth - 1
    finish = 2 * hidden + 2 * features + gradient + 3 * REAL_BYTES + 2 * INDEX_BYTES
    return {
        "backward_finish": EdgeCost(finish, gradient, update["finish"].flops),
        "backward_multiply": update["multiply"],
        "backward_start": EdgeCost((3 if inner else 1) * hidden + gradient, flops=update["start"].flops),
        "add_sums": EdgeCost(2 * (hidden + INDEX_BYTES)),
    }
