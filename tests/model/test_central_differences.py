"""Conservative forces and stress are the derivatives of the very energy that is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS, Structure

from orbmm.model.potential import Potential

STEP = 2e-4  # [Å], and the same number as a strain
# Rounding: an energy of 10 eV is known to 1e-14 eV or so, and 1e-14 / STEP = 5e-11. Truncation: STEP^4 / 30 times a
# fifth derivative, below 1e-10 even for the repulsion of squeezed atoms. An edge that crosses the cutoff has an
# envelope of 20 (2 STEP)^3 = 1e-9: with 1 meV for such an edge and divided by STEP, 1e-8. The limit is ten times that.
CLOSE = 1e-7


@pytest.fixture(scope="module")
def conservative() -> Potential:
    return make_random_potential("orb-v3-conservative-inf-omat")


def evaluate_energy(model: Potential, structure: Structure) -> float:
    composition = model.compose(structure.atomic_numbers)
    positions = torch.from_numpy(structure.positions)
    cell = None if structure.cell is None else torch.from_numpy(structure.cell)
    return model.evaluate(composition, positions, cell, {"energy"}).energy.item()


def differentiate(model: Potential, make_moved: Callable[[float], Structure]) -> float:
    """Derivative at zero of the energy of a structure that depends on one number, by the five-point formula."""
    ahead, far_ahead, behind, far_behind = (evaluate_energy(model, make_moved(n * STEP)) for n in (1, 2, -1, -2))
    return (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * STEP)


def displace(structure: Structure, displacement: np.ndarray) -> Callable[[float], Structure]:
    """The structure as a function of how far it went along a displacement (N, 3) of its atoms."""
    return lambda amount: replace(structure, positions=structure.positions + amount * displacement)


def deform(structure: Structure, strain: np.ndarray) -> Callable[[float], Structure]:
    """The structure as a function of how far atoms and cell went along a symmetric strain (3, 3)."""

    def make_moved(amount: float) -> Structure:
        matrix = np.eye(3) + amount * strain
        return replace(structure, positions=structure.positions @ matrix, cell=structure.cell @ matrix)

    return make_moved


def draw_displacements(structure: Structure, count: int) -> list[np.ndarray]:
    """Random displacements of all atoms together, of length 1."""
    rng = np.random.default_rng(6)
    displacements = rng.normal(size=(count, *structure.positions.shape))
    return [displacement / np.linalg.norm(displacement) for displacement in displacements]


@pytest.mark.parametrize("name", ["molecule", "two_atom_cell"])
def test_conservative_forces_are_the_gradient_of_the_energy(conservative: Potential, name: str) -> None:
    structure = MAKERS[name]()
    forces = conservative.predict(structure.atomic_numbers, structure.positions, structure.cell).forces
    for displacement in draw_displacements(structure, count=3):
        expected = -differentiate(conservative, displace(structure, displacement))
        assert (forces * displacement).sum() == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("component", range(6), ids=["xx", "yy", "zz", "yz", "xz", "xy"])
def test_conservative_stress_is_the_derivative_of_the_energy_by_strain(conservative: Potential, component: int) -> None:
    structure = MAKERS["two_atom_cell"]()
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
    strain = np.zeros((3, 3))
    strain[row, column] += 0.5
    strain[column, row] += 0.5
    stress = conservative.predict(structure.atomic_numbers, structure.positions, structure.cell).stress
    expected = differentiate(conservative, deform(structure, strain)) / np.linalg.det(structure.cell)
    assert stress[component] == pytest.approx(expected, abs=CLOSE)


def test_direct_forces_are_not_the_gradient_of_the_energy() -> None:
    """The comparison above can fail: it does for a model whose forces are no gradient."""
    structure = MAKERS["molecule"]()
    direct = make_random_potential("orb-v3-direct-inf-omat")
    forces = direct.predict(structure.atomic_numbers, structure.positions).forces
    (displacement,) = draw_displacements(structure, count=1)
    assert abs((forces * displacement).sum() + differentiate(direct, displace(structure, displacement))) > 0.01
