"""The embedded networks have the invariance and the asymmetry that were measured before, and derivatives are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orbmm.diagnose.field import Field, NetworkField, Place
from orbmm.diagnose.jacobian import measure_asymmetry
from orbmm.diagnose.pair import measure_pair
from orbmm.diagnose.rotation import measure_rotational_gradient
from orbmm.diagnose.subject import read_shipped
from orbmm.model.load import load_model
from orbmm.training.data.frames import Frame

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"


@pytest.fixture(scope="module")
def box() -> Frame:
    (frame,) = read_shipped()
    return frame


@pytest.fixture(scope="module")
def fields(box: Frame) -> dict[str, NetworkField]:
    return {name: NetworkField(load_model(name, precision="float64"), box) for name in (CONSERVATIVE, DIRECT)}


def take_molecule(box: Frame) -> Frame:
    """The peptide in vacuum, where the direct network removes the net torque."""
    return replace(box, atomic_numbers=box.atomic_numbers[:22], positions=box.positions[:22], cell=None)


@pytest.mark.parametrize(("name", "right"), [(CONSERVATIVE, 0.046), (DIRECT, 0.81)])
def test_the_rotational_gradient_is_as_measured_before(
    name: str, right: float, box: Frame, fields: dict[str, NetworkField]
) -> None:
    found = measure_rotational_gradient(fields[name], Place(box.positions, box.cell), orientations=12)
    assert found.value == pytest.approx(right, rel=0.2)
    assert found.passed is (name == CONSERVATIVE)


def test_only_the_conservative_network_has_a_symmetric_jacobian(box: Frame, fields: dict[str, NetworkField]) -> None:
    place = Place(box.positions, box.cell)
    assert measure_asymmetry(fields[CONSERVATIVE], place).value < 1e-6
    direct = measure_asymmetry(fields[DIRECT], place)
    assert direct.details["method"] == "autograd"
    assert direct.value == pytest.approx(0.019, rel=0.2)


def test_pairs_of_differences_agree_with_autograd(box: Frame, fields: dict[str, NetworkField]) -> None:
    place = Place(box.positions, box.cell)

    class WithoutAutograd(Field):
        rounding = fields[DIRECT].rounding
        evaluate = fields[DIRECT].evaluate

    found = measure_asymmetry(WithoutAutograd(), place)
    assert found.details["method"] == "pairs of finite differences"
    assert found.value == pytest.approx(measure_asymmetry(fields[DIRECT], place).value, rel=0.2)


@pytest.mark.parametrize("name", [CONSERVATIVE, DIRECT])
@pytest.mark.parametrize("periodic", [True, False])
def test_the_transposed_product_is_that_of_differences_of_the_forces(name: str, periodic: bool, box: Frame) -> None:
    """u (J v) = v (J^T u), with O-H bonds that are short enough for the repulsion of nuclei to matter."""
    molecule = replace(take_molecule(box), cell=np.eye(3) * 11.0) if periodic else take_molecule(box)
    field, place = (
        NetworkField(load_model(name, precision="float64"), molecule),
        Place(molecule.positions, molecule.cell),
    )
    one, other = np.random.default_rng(0).normal(size=(2, 22, 3))
    ahead, behind = (field.evaluate(place.move(sign * 1e-5 * other)).forces for sign in (1.0, -1.0))
    transposed = field.find_transposed_product(place, one)
    assert transposed is not None
    assert np.vdot(transposed, other) == pytest.approx(np.vdot(one, ahead - behind) / 2e-5, rel=1e-6)


def test_the_virial_gives_the_rotational_gradient_of_differences(box: Frame, fields: dict[str, NetworkField]) -> None:
    molecule = take_molecule(box)
    field, place = NetworkField(fields[CONSERVATIVE].potential, molecule), Place(molecule.positions)

    class WithoutVirial(Field):
        evaluate = field.evaluate

    by_differences = measure_rotational_gradient(WithoutVirial(), place, orientations=8)
    assert by_differences.value == pytest.approx(measure_rotational_gradient(field, place, 8).value, rel=1e-5)


def test_a_pair_differs_by_what_one_adds(box: Frame, fields: dict[str, NetworkField]) -> None:
    place, field = Place(box.positions, box.cell), fields[DIRECT]

    class Stronger(Field):
        def evaluate(self, place: Place):  # type: ignore[no-untyped-def]
            found = field.evaluate(place)
            return replace(found, forces=1.2 * found.forces)

    found = measure_pair(field, Stronger(), place, box.atomic_numbers)
    assert found.value == pytest.approx(20.0)
    assert not found.passed
    assert measure_pair(fields[CONSERVATIVE], field, place, box.atomic_numbers).passed
