"""Conservative forces and stress are the derivatives of the very energy that is reported."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS, Structure

from orbmm.model.potential import Potential

STEP = 2e-4  # [Å], and the same number as a strain
# Rounding: an energy of 10 eV is known to 1e-14 eV or so, and 1e-14 / STEP = 5e-11. Truncation: STEP^4 / 30 times a fifth
# derivative, below 1e-10 even for the repulsion of squeezed atoms. An edge that comes into range on the way is worth
# 20 (6 Å x 2 STEP / 6 Å)^3 = 1e-9 of its energy: divided by STEP, 1e-8 for a whole strain. Room of ten for all of it.
CLOSE = 1e-7


@pytest.fixture(scope="module")
def conservative() -> Potential:
    return make_random_potential("orb-v3-conservative-inf-omat")


def predict_energy(model: Potential, structure: Structure, positions: np.ndarray, cell: np.ndarray | None) -> float:
    return model.predict(structure.atomic_numbers, positions, cell).energy


def differentiate(model: Potential, structure: Structure, displacement: np.ndarray) -> float:
    """Derivative of the energy along a displacement (N, 3) of the atoms."""
    ahead, far_ahead, behind, far_behind = (
        predict_energy(model, structure, structure.positions + steps * STEP * displacement, structure.cell)
        for steps in (1, 2, -1, -2)
    )
    return (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * STEP)


def differentiate_by_strain(model: Potential, structure: Structure, strain: np.ndarray) -> float:
    """Derivative of the energy along a symmetric strain (3, 3) of atoms and cell."""
    energies = []
    for steps in (1, 2, -1, -2):
        deform = np.eye(3) + steps * STEP * strain
        energies.append(predict_energy(model, structure, structure.positions @ deform, structure.cell @ deform))
    ahead, far_ahead, behind, far_behind = energies
    return (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * STEP)


def draw_displacements(structure: Structure, count: int) -> list[np.ndarray]:
    """Random displacements of all atoms together, of length 1."""
    rng = np.random.default_rng(6)
    displacements = rng.normal(size=(count, *structure.positions.shape))
    return [displacement / np.linalg.norm(displacement) for displacement in displacements]


@pytest.mark.parametrize("name", ["molecule", "two_atom_cell"])
def test_conservative_forces_are_the_slope_of_the_energy(conservative: Potential, name: str) -> None:
    structure = MAKERS[name]()
    forces = conservative.predict(structure.atomic_numbers, structure.positions, structure.cell).forces
    for displacement in draw_displacements(structure, count=3):
        expected = -differentiate(conservative, structure, displacement)
        assert (forces * displacement).sum() == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("component", range(6), ids=["xx", "yy", "zz", "yz", "xz", "xy"])
def test_conservative_stress_is_the_slope_of_the_energy_by_strain(conservative: Potential, component: int) -> None:
    structure = MAKERS["two_atom_cell"]()
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
    strain = np.zeros((3, 3))
    strain[row, column] += 0.5
    strain[column, row] += 0.5
    stress = conservative.predict(structure.atomic_numbers, structure.positions, structure.cell).stress
    expected = differentiate_by_strain(conservative, structure, strain) / np.linalg.det(structure.cell)
    assert stress[component] == pytest.approx(expected, abs=CLOSE)


def test_direct_forces_are_not_the_slope_of_the_energy() -> None:
    """The comparison above can fail: it does for a model whose forces are no gradient."""
    structure = MAKERS["molecule"]()
    direct = make_random_potential("orb-v3-direct-inf-omat")
    forces = direct.predict(structure.atomic_numbers, structure.positions).forces
    (displacement,) = draw_displacements(structure, count=1)
    assert abs((forces * displacement).sum() + differentiate(direct, structure, displacement)) > 0.01
