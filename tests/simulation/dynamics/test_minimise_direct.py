"""A direct network's energy is no guide: OpenMM's line search on it breaks molecules, relaxation by forces does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.forces.attach import create_system
from orbmm.settings import ModelSettings
from orbmm.simulation.dynamics.minimise import minimise
from orbmm.simulation.dynamics.thermometer import make_thermometer

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
BROKEN_NM = 0.15  # of an O-H bond, which is 0.096 nm long
STARTS = 6
Minimiser = Callable[[openmm.Context], object]


def relax_by_forces(context: openmm.Context) -> object:
    return minimise(context, make_thermometer(context.getSystem()), 10)


def search_along_lines(context: openmm.Context) -> None:
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 3)


def count_broken(path: Path, model: str, minimiser: Minimiser) -> int:
    """The number of slightly shaken starts at whose end a molecule is broken."""
    structure = app.PDBFile(str(path))
    positions = np.array(structure.getPositions(asNumpy=True)._value)
    system = create_system(structure.topology, ModelSettings(model, device="cpu"))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    chance, broken = np.random.default_rng(1), 0
    for _ in range(STARTS):
        context.setPositions(positions + chance.normal(0.0, 0.003, positions.shape))
        minimiser(context)
        ends = context.getState(positions=True).getPositions(asNumpy=True)._value
        lengths = [np.linalg.norm(ends[one.index] - ends[other.index]) for one, other in structure.topology.bonds()]
        broken += max(lengths) > BROKEN_NM
    return broken


@pytest.mark.parametrize(
    ("model", "minimiser"),
    [(DIRECT, relax_by_forces), (CONSERVATIVE, relax_by_forces), (CONSERVATIVE, search_along_lines)],
)
def test_molecules_stay_whole(model: str, minimiser: Minimiser, water_box: Path) -> None:
    assert count_broken(water_box, model, minimiser) == 0


def test_a_line_search_on_the_energy_of_a_direct_network_breaks_molecules(water_box: Path) -> None:
    """Twin, and the reason why docs/python.md advises against it."""
    assert count_broken(water_box, DIRECT, search_along_lines) > 0
