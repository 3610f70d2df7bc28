"""Work, Jacobian and heating have their closed forms, and a force with a curl fails where springs pass."""

from __future__ import annotations

import numpy as np
import pytest
from diagnose.fields import Growing, Springs, Trap, scatter_atoms

from orbmm.diagnose.consistency import DISPLACEMENT_ANGSTROM, measure_lines, measure_loops
from orbmm.diagnose.field import Place
from orbmm.diagnose.heating import MEV_PER_KELVIN, Protocol, measure_heating, measure_long_step
from orbmm.diagnose.jacobian import measure_asymmetry
from orbmm.errors import StructureError
from orbmm.units import EV_PER_KJ_PER_MOL

OXYGENS = np.full(12, 8)


def test_springs_pass_and_a_curl_fails_every_check_of_conservation() -> None:
    place = scatter_atoms()
    for measure in (measure_lines, measure_loops, measure_asymmetry):
        assert measure(Springs(), place).passed
        assert not measure(Trap(k=1.0, c=0.1), place).passed


def test_lines_give_the_difference_between_forces_and_gradient() -> None:
    place = scatter_atoms(200)
    found = measure_lines(Trap(k=1.0, c=0.1), place, lines=200)
    x, y, _ = place.positions.T
    assert found.value == pytest.approx(1000.0 * 0.1 * np.sqrt(((x**2) + (y**2)).sum() / place.positions.size), rel=0.1)


def test_loops_give_the_work_of_a_curl() -> None:
    """The work is 2 c times the area of a loop in the plane, pi r^2 (u_x v_y - u_y v_x), of variance 2 pi^2 r^4."""
    found = measure_loops(Trap(k=1.0, c=0.1), scatter_atoms(200), loops=200)
    right = 2.0 * 0.1 * np.pi * DISPLACEMENT_ANGSTROM**2 * np.sqrt(2.0)  # [eV]
    assert found.value == pytest.approx(1000.0 * right, rel=0.1)


def test_lambda_of_a_trap_with_a_curl_has_its_closed_form() -> None:
    """Two of nine entries of J are c and -c, three are -k."""
    k, c = 1.0, 0.2
    found = measure_asymmetry(Trap(k, c), scatter_atoms(200))
    assert found.details["method"] == "pairs of finite differences"
    assert found.value == pytest.approx(np.sqrt(2.0) * c / np.sqrt(3.0 * k**2 + 2.0 * c**2), rel=0.1)


def test_a_pure_curl_has_lambda_one() -> None:
    assert measure_asymmetry(Trap(k=0.0, c=0.2), scatter_atoms(200)).value == pytest.approx(1.0, rel=0.1)


def test_an_energy_that_grows_is_heating_of_that_size() -> None:
    growth = 1e-4  # [eV] in each step of 0.5 fs
    found = measure_heating(Growing(k=0.01, growth=growth), scatter_atoms(), OXYGENS, Protocol(length_ps=0.05))
    drift = 1000.0 * growth / 12 / 0.0005  # [meV/atom/ps]
    assert found.details["drift_mev_per_atom_per_ps"] == pytest.approx(drift, rel=0.01)
    assert found.value == pytest.approx(drift / MEV_PER_KELVIN, rel=0.01)
    assert not found.passed


def test_a_kelvin_is_three_times_boltzmanns_constant_for_an_atom() -> None:
    assert MEV_PER_KELVIN == pytest.approx(3.0 * 8.314462618e-3 * EV_PER_KJ_PER_MOL * 1000.0)
    assert MEV_PER_KELVIN == pytest.approx(3.0 * 0.08617333)  # [meV/K], CODATA


def test_a_curl_heats_and_springs_do_not() -> None:
    place, protocol = scatter_atoms(), Protocol(length_ps=0.1)
    assert measure_heating(Springs(), place, OXYGENS, protocol).passed
    found = measure_heating(Trap(k=3.0, c=1.0), place, OXYGENS, protocol)
    assert found.value > 100.0
    assert not found.passed


def test_the_element_that_is_driven_is_named() -> None:
    numbers = np.array([1] * 6 + [8] * 6)

    class DrivesOxygen(Trap):
        def evaluate(self, place):  # type: ignore[no-untyped-def]
            found = super().evaluate(place)
            found.forces[:6] = -3.0 * place.positions[:6]
            return found

    place = scatter_atoms()
    found = measure_heating(DrivesOxygen(k=30.0, c=25.0), place, numbers, Protocol(length_ps=0.1))
    assert found.details["hottest_element"] == "O"


@pytest.mark.parametrize(("timestep_fs", "passed"), [(0.4, True), (8.0, False)])
def test_a_long_step_fails_where_a_vibration_is_too_fast(timestep_fs: float, passed: bool) -> None:
    """The energy of velocity Verlet swings by (omega dt / 2)^2 of itself: 2e-5 and 1e-2 here, for 16 g/mol and 1 eV."""
    protocol = Protocol(timestep_fs=timestep_fs, length_ps=0.4, hydrogen_amu=4.0)
    drift, spread = measure_long_step(Trap(k=1.0, c=0.0), scatter_atoms(), OXYGENS, protocol)
    assert spread.passed is passed
    assert drift.threshold is not None
    assert drift.threshold <= 0.2  # a run that swings widely does not excuse itself by its errors


def test_a_single_atom_cannot_heat() -> None:
    one = Place(np.zeros((1, 3)), None)
    with pytest.raises(StructureError, match="a single atom"):
        measure_heating(Springs(), one, OXYGENS[:1], Protocol(length_ps=0.05))
