"""The device of a training, and the precision of its steps."""

from __future__ import annotations

import torch

from orbmm.model.network.orb import Orb


def locate(network: Orb) -> torch.device:
    """Return the device that a network is on."""
    return next(network.parameters()).device


def set_precision(network: Orb, name: str) -> None:
    """Let the body of a network compute its forward pass in a precision of the settings; a copy of it does not.

    name: "float32", or "bfloat16": the products of matrices alone, by torch.autocast. Weights, sums over edges and
        normalisation stay in float32, heads, energies and the removal of the net torque are not of the body.
    """
    if name == "bfloat16":
        lower = torch.autocast(locate(network).type, dtype=torch.bfloat16)
        network.model.forward = lower(network.model.forward)  # type: ignore[method-assign]
