"""Create the TorchForce of openmm-torch: a TorchScript module of one line that calls the operator of orbmm."""

from __future__ import annotations

import torch
from openmm import Force
from torch import Tensor

import orbmm.forces.operator  # noqa: F401  (scripting looks the operator up)
from orbmm.forces.description import ForceDescription


class _OpenModule(torch.nn.Module):
    """The module for a System without a box."""

    def __init__(self, description: str) -> None:
        super().__init__()
        self.description = description

    def forward(self, positions_nm: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.orbmm.energy_and_forces(self.description, positions_nm, None)


class _PeriodicModule(torch.nn.Module):
    """The module for a System with a box; openmm-torch then passes the box vectors too."""

    def __init__(self, description: str) -> None:
        super().__init__()
        self.description = description

    def forward(self, positions_nm: Tensor, box_nm: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.orbmm.energy_and_forces(self.description, positions_nm, box_nm)


def create_torch_force(description: ForceDescription) -> Force:
    """Create a TorchForce from a description; serialised, it holds the description and no network."""
    from openmmtorch import TorchForce

    module = (_PeriodicModule if description.periodic else _OpenModule)(description.to_json())
    force = TorchForce(torch.jit.script(module))
    force.setOutputsForces(True)
    force.setUsesPeriodicBoundaryConditions(description.periodic)
    return force
