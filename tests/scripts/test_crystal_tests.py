"""The elastic constants of the crystal script, on potentials whose constants are known in another way."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

SMALL = (-0.002, -0.001, 0.001, 0.002)


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = load_script("scripts/study/crystal_tests.py")
    monkeypatch.setattr(found, "NORMAL_STRAINS", SMALL)
    monkeypatch.setattr(found, "SHEAR_STRAINS", SMALL)
    return found


def test_constants_are_the_curvature_of_the_energy(script: ModuleType) -> None:
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.units import GPa

    copper = bulk("Cu")
    found = script.study_elasticity(copper, EMT(), 300, relax_cell=True)
    tensor = np.array(found["tensor"])
    copper.calc = EMT()
    script.FIRE(script.FrechetCellFilter(copper), logfile=None).run(fmax=1e-4)
    for strain, expected in (
        (np.diag([1.0, 0.0, 0.0]), tensor[0, 0]),
        (np.diag([1.0, 1.0, 0.0]), 2.0 * (tensor[0, 0] + tensor[0, 1])),
        (np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]), tensor[3, 3]),
    ):
        energies = []
        for size in (-0.002, 0.0, 0.002):
            atoms = copper.copy()
            atoms.calc = EMT()
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
            energies.append(atoms.get_potential_energy())
        curvature = (energies[0] - 2.0 * energies[1] + energies[2]) / 0.002**2 / copper.get_volume() / GPa
        assert curvature == pytest.approx(expected, rel=0.02)
    assert found["asymmetry_share"] < 1e-6 and found["strained_cells_not_relaxed"] == 0


def test_moduli_of_an_isotropic_solid_are_its_own(script: ModuleType) -> None:
    bulk_modulus, shear_modulus = 7.0, 3.0
    tensor = np.zeros((6, 6))
    tensor[:3, :3] = bulk_modulus - 2.0 / 3.0 * shear_modulus
    tensor += np.diag([2.0 * shear_modulus] * 3 + [shear_modulus] * 3)
    assert script.compute_moduli(tensor) == pytest.approx(
        {"bulk_modulus": bulk_modulus, "shear_modulus": shear_modulus}
    )


def test_ice_keeps_the_rules_of_ice(script: ModuleType) -> None:
    ice = script.make_ice()
    oxygens = [0, 3]
    for hydrogen in (1, 2, 4, 5):
        near = sorted(
            np.linalg.norm(ice.positions[hydrogen] - ice.positions[one] - shift @ ice.cell.array)
            for one in oxygens
            for shift in np.array(list(np.ndindex(3, 3, 3))) - 1
        )
        assert near[:2] == pytest.approx([0.98, 6.36 * 3**0.5 / 4 - 0.98]), "each lies on the bond of two oxygens"
