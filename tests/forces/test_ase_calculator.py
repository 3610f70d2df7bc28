"""The calculator of ASE gives what predict gives, and its forces and stress are the derivatives of its energy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read
from oracles.random_weights import randomize_state_dict
from safetensors.torch import save_file

import orbmm
from orbmm.checkpoints.catalog import find_record
from orbmm.errors import MissingDependency, ModelError, StructureError
from orbmm.model.load import make_network

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
CELL = [[7.0, 0.0, 0.0], [1.0, 7.5, 0.0], [0.5, -0.4, 8.0]]
POSITIONS = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [2.8, 0.3, 0], [3.4, 1.0, 0.2], [3.2, -0.5, 0.3]]
FORCE_STEP, FORCE_TOLERANCE = 1e-4, 2e-6  # [Å], [eV/Å]: third derivatives of some 100 eV/Å^3 times the step squared
STRAIN_STEP, STRESS_TOLERANCE = 1e-5, 1e-9  # eV/Å^3


def make_waters(name: str, periodic: bool = True) -> Atoms:
    return Atoms("OH2OH2", POSITIONS, cell=CELL, pbc=periodic, calculator=orbmm.OrbCalculator(name))


@pytest.mark.parametrize("name", [CONSERVATIVE, DIRECT])
def test_it_gives_what_predict_gives(name: str) -> None:
    atoms = make_waters(name)
    expected = orbmm.load_model(name, precision="float64").predict(atoms.numbers, atoms.positions, np.array(atoms.cell))
    assert atoms.get_potential_energy() == atoms.get_potential_energy(force_consistent=True) == expected.energy
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces)
    if expected.stress is None:  # the embedded direct network has no head for it
        assert "stress" not in atoms.calc.implemented_properties
    else:
        np.testing.assert_array_equal(atoms.get_stress(), expected.stress)
    np.testing.assert_array_equal(atoms.calc.results["confidence"], expected.confidence)


def measure_force_error(name: str) -> float:
    atoms = make_waters(name)
    numerical = calculate_numerical_forces(atoms, eps=FORCE_STEP, iatoms=[0, 4])
    return float(np.abs(atoms.get_forces()[[0, 4]] - numerical).max())


def test_forces_are_the_derivative_that_ase_measures() -> None:
    assert measure_force_error(CONSERVATIVE) < FORCE_TOLERANCE


def test_forces_that_are_no_derivative_would_be_seen() -> None:
    assert measure_force_error(DIRECT) > 1000 * FORCE_TOLERANCE


def test_stress_is_the_derivative_that_ase_measures() -> None:
    atoms = make_waters(CONSERVATIVE)
    numerical = calculate_numerical_stress(atoms, eps=STRAIN_STEP)
    np.testing.assert_allclose(atoms.get_stress(), numerical, rtol=0.0, atol=STRESS_TOLERANCE)
    assert np.abs(numerical).max() > 1e5 * STRESS_TOLERANCE
    swapped = numerical[[0, 1, 2, 5, 4, 3]]  # the order xx yy zz xy xz yz
    assert np.abs(atoms.get_stress() - swapped).max() > 1e4 * STRESS_TOLERANCE


def test_neighbours_are_kept_and_change_nothing() -> None:
    atoms = make_waters(CONSERVATIVE)
    random = np.random.default_rng(3)
    atoms.get_forces()
    for _ in range(3):
        atoms.positions += random.normal(0.0, 0.02, (6, 3))
        kept = atoms.get_forces()
    assert atoms.calc._neighbors.searches == 1
    np.testing.assert_array_equal(kept, orbmm.OrbCalculator(CONSERVATIVE).get_forces(atoms))
    atoms.positions += random.normal(0.0, 1.0, (6, 3)) + np.array(CELL)[0]
    atoms.get_forces()
    assert atoms.calc._neighbors.searches == 2


def test_another_set_of_atoms_takes_the_same_calculator() -> None:
    calculator = orbmm.OrbCalculator(CONSERVATIVE)
    for atoms in (Atoms("OH2", POSITIONS[:3]), Atoms("H2O", POSITIONS[2::-1]), make_waters(CONSERVATIVE, False)):
        expected = calculator.potential.predict(atoms.numbers, atoms.positions)
        np.testing.assert_array_equal(calculator.get_forces(atoms), expected.forces)


def test_a_molecule_has_no_stress() -> None:
    with pytest.raises(PropertyNotImplementedError):
        make_waters(CONSERVATIVE, periodic=False).get_stress()


def test_a_slab_is_refused_with_a_sentence() -> None:
    atoms = make_waters(CONSERVATIVE)
    atoms.pbc = (True, True, False)
    with pytest.raises(StructureError, match="periodic along x and y only.*atoms.pbc = True"):
        atoms.get_potential_energy()


def test_coordinates_that_are_no_numbers_are_refused() -> None:
    atoms = make_waters(CONSERVATIVE)
    atoms.positions[3, 1] = np.nan
    with pytest.raises(StructureError, match="atom 3"):
        atoms.get_potential_energy()


def test_a_model_with_charges_takes_them_and_others_refuse_them(tmp_path: Path) -> None:
    name = "orb-v3-direct-omol"
    tensors = randomize_state_dict(make_network(find_record(name)).state_dict(), seed=3, omol=False)
    weights = tmp_path / "omol.safetensors"
    save_file(tensors, weights)
    water = Atoms("OH2", POSITIONS[:3])
    model = orbmm.load_model(name, weights, precision="float64")
    energies = []
    for state in ((0, 1), (1, 2)):
        calculator = orbmm.OrbCalculator.from_potential(model, *state)
        energies.append(calculator.get_potential_energy(water))
        assert energies[-1] == model.predict(water.numbers, water.positions, None, *state).energy
    assert energies[0] != energies[1]
    with pytest.raises(ModelError, match="needs charge and multiplicity"):
        orbmm.OrbCalculator.from_potential(model).get_potential_energy(water)
    with pytest.raises(ModelError, match="takes no charge"):
        orbmm.OrbCalculator(CONSERVATIVE, charge=0).get_potential_energy(water)


def test_results_pass_through_a_file(tmp_path: Path) -> None:
    atoms = make_waters(CONSERVATIVE)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    assert atoms.get_properties(["energy"])["energy"] == energy
    atoms.write(tmp_path / "frame.traj")
    again = read(tmp_path / "frame.traj")
    assert again.get_potential_energy() == energy
    np.testing.assert_array_equal(again.get_forces(), forces)


def test_a_loaded_model_can_be_used() -> None:
    model = orbmm.load_model(CONSERVATIVE, precision="float32-highest")
    atoms = make_waters(CONSERVATIVE)
    expected = model.predict(atoms.numbers, atoms.positions, np.array(atoms.cell)).energy
    assert orbmm.OrbCalculator.from_potential(model).get_potential_energy(atoms) == expected


def test_without_ase_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "orbmm.forces.ase_calculator", raising=False)
    monkeypatch.delitem(vars(orbmm), "OrbCalculator", raising=False)
    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(MissingDependency, match=r"pip install 'orbmm\[ase\]'"):
        orbmm.OrbCalculator  # noqa: B018
