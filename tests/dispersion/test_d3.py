"""D3(BJ) against simple-dftd3, which shares no code with it; and what the pairs and the switch must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.structures import make_molecule, make_two_atom_cell

from orbmm.dispersion.d3 import FUNCTIONALS, Dispersion, Range
from orbmm.dispersion.reference import list_elements
from orbmm.errors import ModelError, StructureError
from orbmm.settings.model import DISPERSIONS, NO_DISPERSION

CPU = torch.device("cpu")
BOHR, HARTREE = 0.529177210903, 27.211386245988  # CODATA 2018, typed in: the package's own are under test too
ENERGY_TOLERANCE = 1e-7  # eV/atom
FORCE_TOLERANCE = 1e-6  # eV/Å: float32 of the kernels
VIRIAL_TOLERANCE = 1e-6  # eV/atom
SHARP = Range(cutoff_angstrom=12.0, smooth_from_angstrom=12.0)
B3LYP = {"a1": 0.3981, "a2": 4.4211, "s8": 1.9889}
PBE = {"a1": 0.4289, "a2": 4.4407, "s8": 0.7875}
METALS = np.array([30, 26, 8, 17, 16, 53, 82, 57, 1])  # elements with few and with five reference systems

Numbers = np.ndarray


def make_cases() -> dict[str, tuple[Numbers, Numbers, Numbers | None]]:
    """Atomic numbers, positions [Å] and cell [Å]."""
    molecule, crystal = make_molecule(scale=1.0), make_two_atom_cell()
    random = np.random.default_rng(4)
    sites = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3) * 2.6
    cluster = np.tile(METALS, 3), sites + random.normal(0.0, 0.2, sites.shape)
    sheared = np.array([[8.0, 0.0, 0.0], [1.7, 8.2, 0.0], [-0.9, 0.8, 8.5]])
    return {
        "molecule": (molecule.atomic_numbers, molecule.positions, None),
        "cell shorter than the cutoff": (crystal.atomic_numbers, crystal.positions, crystal.cell),
        "metals": (*cluster, None),
        "metals in a sheared cell": (*cluster, sheared),
    }


CASES = make_cases()


def ask_simple_dftd3(case: str, parameters: dict[str, float]) -> tuple[float, Numbers, Numbers]:
    """Energy [eV], forces [eV/Å] and virial [eV] of simple-dftd3 with a cutoff of 12 Å and no three-body term."""
    interface = pytest.importorskip("dftd3.interface")
    numbers, positions, cell = CASES[case]
    box = {} if cell is None else {"lattice": cell / BOHR, "periodic": np.ones(3, dtype=bool)}
    model = interface.DispersionModel(numbers, positions / BOHR, **box)
    model.set_realspace_cutoff(disp2=12.0 / BOHR, disp3=1.0, cn=12.0 / BOHR)
    damping = interface.RationalDampingParam(s6=1.0, s9=0.0, **parameters)
    result = model.get_dispersion(damping, grad=True)
    return result["energy"] * HARTREE, -result["gradient"] * HARTREE / BOHR, -result["virial"] * HARTREE


def compute(case: str, reach: Range = SHARP) -> tuple[float, Numbers, Numbers | None]:
    numbers, positions, cell = CASES[case]
    lattice = None if cell is None else torch.tensor(cell)
    result = Dispersion("d3bj-pbe", tuple(numbers), CPU, reach).compute(torch.tensor(positions), lattice)
    return float(result.energy), result.forces.numpy(), None if cell is None else result.virial.numpy()


@pytest.mark.parametrize("case", CASES)
def test_it_agrees_with_simple_dftd3(case: str) -> None:
    energy, forces, virial = compute(case)
    expected_energy, expected_forces, expected_virial = ask_simple_dftd3(case, PBE)
    assert energy == pytest.approx(expected_energy, abs=ENERGY_TOLERANCE * len(forces))
    np.testing.assert_allclose(forces, expected_forces, rtol=0.0, atol=FORCE_TOLERANCE)
    if virial is not None:
        np.testing.assert_allclose(virial, expected_virial, rtol=0.0, atol=VIRIAL_TOLERANCE * len(forces))


def test_the_damping_of_another_functional_would_be_seen() -> None:
    energy, forces, _ = compute("metals")
    other_energy, other_forces, _ = ask_simple_dftd3("metals", B3LYP)
    assert abs(energy - other_energy) > 1e4 * ENERGY_TOLERANCE * len(forces)
    assert np.abs(forces - other_forces).max() > 1e3 * FORCE_TOLERANCE


def test_the_parameters_are_those_of_pbe() -> None:
    assert vars(FUNCTIONALS["d3bj-pbe"]) == PBE
    assert set(DISPERSIONS) == {NO_DISPERSION, *FUNCTIONALS}


@pytest.mark.parametrize("case", ["metals", "metals in a sheared cell"])
def test_smoothed_forces_are_the_derivative_of_the_energy(case: str) -> None:
    numbers, positions, cell = CASES[case]
    dispersion = Dispersion("d3bj-pbe", tuple(numbers), CPU)
    lattice = None if cell is None else torch.tensor(cell)
    direction = np.random.default_rng(5).normal(size=positions.shape)
    step = 0.005  # Å; the energy is float32, of about 10 eV
    ends = [
        float(dispersion.compute(torch.tensor(positions + sign * step * direction), lattice).energy)
        for sign in (1.0, -1.0)
    ]
    forces = dispersion.compute(torch.tensor(positions), lattice).forces.numpy()
    assert -(ends[0] - ends[1]) / (2 * step) == pytest.approx((forces * direction).sum(), abs=2e-3)
    assert abs((forces * direction).sum()) > 0.05


def test_pairs_fade_out_between_10_and_12_angstrom() -> None:
    """C6 of two argon atoms far apart: half of it is left at 11 Å, nothing at 12 Å."""
    dispersion, sharp = (Dispersion("d3bj-pbe", (18, 18), CPU, reach) for reach in (Range(), Range(14.0, 14.0)))
    energies = {}
    for distance in (9.99, 11.0, 11.999, 12.5):
        positions = torch.tensor([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]], dtype=torch.float64)
        energies[distance] = float(dispersion.compute(positions, None).energy / sharp.compute(positions, None).energy)
    assert energies[9.99] == pytest.approx(1.0, abs=1e-5)
    assert energies[11.0] == pytest.approx(0.5, abs=1e-5)
    assert energies[11.999] < 1e-6
    assert energies[12.5] == 0.0


def test_the_force_contains_the_slope_of_the_switch() -> None:
    def compute_pair(reach: Range, distance: float) -> tuple[float, float]:
        positions = torch.tensor([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]], dtype=torch.float64)
        result = Dispersion("d3bj-pbe", (18, 18), CPU, reach).compute(positions, None)
        return float(result.energy), float(result.forces[1, 0])

    numerical = -(compute_pair(Range(), 11.02)[0] - compute_pair(Range(), 10.98)[0]) / 0.04
    assert compute_pair(Range(), 11.0)[1] == pytest.approx(numerical, rel=1e-3)
    assert compute_pair(Range(14.0, 14.0), 11.0)[1] != pytest.approx(numerical, rel=0.3)


def test_kept_pairs_change_no_bit() -> None:
    numbers, positions, cell = CASES["metals in a sheared cell"]
    random, lattice = np.random.default_rng(6), torch.tensor(cell)
    kept = Dispersion("d3bj-pbe", tuple(numbers), CPU)
    for step in range(6):
        positions = positions + random.normal(0.0, 0.05, positions.shape) + cell[step % 3]
        ours = kept.compute(torch.tensor(positions), lattice)
        fresh = Dispersion("d3bj-pbe", tuple(numbers), CPU).compute(torch.tensor(positions), lattice)
        assert torch.equal(ours.energy, fresh.energy) and torch.equal(ours.forces, fresh.forces)
    assert 1 <= kept.searches < 6


def test_unknown_names_and_elements_are_refused() -> None:
    with pytest.raises(ModelError, match="did you mean 'd3bj-pbe'"):
        Dispersion("d3bj-pbe0", (1, 1), CPU)
    assert list_elements() == range(1, 87)
    with pytest.raises(StructureError, match="ends at element 86"):
        Dispersion("d3bj-pbe", (8, 92), CPU)


def test_the_reference_table_is_small(repository) -> None:
    assert (repository / "orbmm" / "dispersion" / "reference.npz").stat().st_size < 200_000
