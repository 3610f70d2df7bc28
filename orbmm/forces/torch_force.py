"""Create the TorchForce of openmm-torch, and register the operator that it calls.

The TorchScript module inside a TorchForce is one call of `orbmm::energy_and_forces`; weights, graph and compiled code
are found by its arguments. Import this module before loading a System with a TorchForce: TorchScript looks the name up
while a file is read, before any function of orbmm can be called. This is the only work that the package does at import.
A PythonForce needs no import.

"CompositeImplicitAutograd" runs the operator above autograd, so that a conservative network can differentiate inside
it. Under `torch.library.custom_op` it would run below autograd, where torch.autograd.grad fails.
"""

from __future__ import annotations

import logging

import torch
from openmm import Force
from torch import Tensor

from orbmm.forces.description import Description
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.kinds import list_force_kinds
from orbmm.forces.versions import find_torch_force_crash, read_versions


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


def create_torch_force(description: Description) -> Force:
    """Create a TorchForce from a description; serialised, it holds the description and no network."""
    from openmmtorch import TorchForce

    module = (_PeriodicModule if description.periodic else _OpenModule)(description.to_json())
    force = TorchForce(torch.jit.script(module))
    force.setOutputsForces(True)
    force.setUsesPeriodicBoundaryConditions(description.periodic)
    return force


def energy_and_forces(description: str, positions_nm: Tensor, box_nm: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return energy () [kJ/mol] and forces (N, 3) [kJ/mol/nm]; positions (N, 3) [nm], box (3, 3) rows [nm] or None."""
    return find_evaluator(description, positions_nm.device).evaluate(positions_nm, box_nm)


if not hasattr(torch.ops.orbmm, "energy_and_forces"):
    _LIBRARY = torch.library.Library("orbmm", "FRAGMENT")
    _LIBRARY.define("energy_and_forces(str description, Tensor positions_nm, Tensor? box_nm) -> (Tensor, Tensor)")
    _LIBRARY.impl("energy_and_forces", energy_and_forces, "CompositeImplicitAutograd")

list_force_kinds()  # loads openmm-torch if it can run, so that OpenMM can read a TorchForce
_CRASH = find_torch_force_crash(read_versions())
if _CRASH is not None:
    logging.getLogger(__name__).warning("%s", _CRASH)
