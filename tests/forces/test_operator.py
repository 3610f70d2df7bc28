"""The registered operator, called without OpenMM."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

import orbmm.forces.torch_force
from orbmm.errors import StructureError
from orbmm.forces.attach import describe_force
from orbmm.settings.model import ModelSettings

CONSERVATIVE = "orb-mini-conservative-inf-xtb"


@pytest.fixture
def arguments(random_weights, make_water):
    water = make_water("cube")
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), "float64", "cpu")
    description = describe_force(water.topology, model, None, periodic=True)
    return description.to_json(), torch.tensor(water.positions), torch.tensor(water.box)


def test_a_second_registration_does_no_harm(arguments):
    energy, forces = torch.ops.orbmm.energy_and_forces(*arguments)
    importlib.reload(orbmm.forces.torch_force)
    sys.modules.pop("orbmm.forces.torch_force")
    importlib.import_module("orbmm.forces.torch_force")
    again, same = torch.ops.orbmm.energy_and_forces(*arguments)
    assert torch.equal(energy, again) and torch.equal(forces, same)


def test_the_energy_is_float64_and_the_forces_are_of_the_positions_type(arguments):
    description, positions, box = arguments
    for dtype in (torch.float32, torch.float64):
        energy, forces = torch.ops.orbmm.energy_and_forces(description, positions.to(dtype), box.to(dtype))
        assert energy.dtype == torch.float64 and energy.shape == ()
        assert forces.dtype == dtype and forces.shape == positions.shape and forces.is_contiguous()
        assert not energy.requires_grad and not forces.requires_grad


def test_the_inputs_are_left_as_they_were(arguments):
    description, positions, box = arguments
    before = positions.clone(), box.clone()
    torch.ops.orbmm.energy_and_forces(description, positions.requires_grad_(True), box)
    assert torch.equal(positions, before[0]) and torch.equal(box, before[1]) and positions.grad is None


def test_a_periodic_description_needs_a_box(arguments):
    description, positions, _ = arguments
    with pytest.raises(StructureError, match="OpenMM gave it no box"):
        torch.ops.orbmm.energy_and_forces(description, positions, None)
