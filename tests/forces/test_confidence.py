"""The confidence beside a simulation is that of the model itself, in the order and the units of the System."""

from __future__ import annotations

import numpy as np
import pytest

from orbmm.forces.attach import create_system
from orbmm.forces.confidence import NO_BIN, judge_atoms, open_confidence
from orbmm.forces.evaluator_cache import count_networks, forget_evaluators
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings

MODEL = "orb-mini-conservative-inf-xtb"


def _predict(water) -> np.ndarray:
    """Probabilities (N, 50) from the front door of the model, in Å."""
    numbers = [atom.element.atomic_number for atom in water.topology.atoms()]
    model = load_model(MODEL, device="cpu", precision="float64")
    return model.predict(numbers, 10.0 * water.positions, 10.0 * water.box).confidence


def test_probabilities_become_a_bin_and_an_expected_error() -> None:
    judged = judge_atoms(np.array([[0.0, 1.0], [0.75, 0.25]]), np.array([0.0, 0.1, 0.3]))
    assert judged.bins.tolist() == [1, 0] and judged.bins.dtype == np.uint8
    assert judged.errors == pytest.approx([0.2, 0.75 * 0.05 + 0.25 * 0.2])
    assert judged.mean_error == pytest.approx(0.14375)


@pytest.mark.parametrize("shape", ["cube", "dodecahedron"])
def test_it_is_the_confidence_of_the_model(make_water, shape: str) -> None:
    water = make_water(shape)
    meter = open_confidence(water.topology, ModelSettings(MODEL, device="cpu", precision="float64"))
    assert meter is not None and meter.bin_edges.shape == (51,)
    expected = judge_atoms(_predict(water), meter.bin_edges)
    measured = meter.measure(water.positions, water.box)
    assert np.array_equal(measured.bins, expected.bins)
    assert np.abs(measured.errors - expected.errors).max() < 1e-9
    assert np.abs(meter.measure(water.positions[::-1], water.box).errors - expected.errors).max() > 1e-3


def test_it_shares_the_network_with_the_force(make_water) -> None:
    forget_evaluators()
    water, model = make_water("cube"), ModelSettings(MODEL, device="cpu")
    create_system(water.topology, model)
    open_confidence(water.topology, model)
    assert count_networks() == 1


def test_atoms_that_the_network_does_not_see_have_no_confidence(make_water) -> None:
    water = make_water("cube")
    meter = open_confidence(water.topology, ModelSettings(MODEL, device="cpu"), range(3, 9))
    assert meter is not None
    judged = meter.measure(water.positions, water.box)
    assert np.flatnonzero(np.isfinite(judged.errors)).tolist() == list(range(3, 9))
    assert set(judged.bins[:3]) == {NO_BIN}
