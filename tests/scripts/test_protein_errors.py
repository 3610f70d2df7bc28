"""scripts/embedded/measure_protein_errors.py: kinds of frames, and their mean force errors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from orbmm.model.load import load_model
from orbmm.training.data.frames import Frame

MODEL = "orb-mini-direct-inf-proteins"
WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/embedded/measure_protein_errors.py")


@pytest.mark.parametrize(
    ("name", "group", "aim"),
    [("held-lys", "lys", 100.0), ("zn-cys4-500-11", "zn-cys4", 150.0), ("held-water", "water", 60.0)],
)
def test_the_name_of_a_trajectory_says_the_kind_and_the_aim(
    script: ModuleType, name: str, group: str, aim: float
) -> None:
    assert script.name_group(name) == group
    assert script.find_aim(group) == aim


def test_an_error_that_is_put_into_the_labels_is_found(script: ModuleType) -> None:
    numbers = np.array([8, 1, 1])
    found = load_model(MODEL, device="cpu", precision="float32-highest").predict(numbers, WATER)
    right = Frame(numbers, WATER, None, np.zeros(3, bool), "held-water", found.energy, found.forces)
    wrong = Frame(numbers, WATER, None, np.zeros(3, bool), "zn-water-300-1", found.energy + 0.3, found.forces + 0.05)
    table = script.measure(MODEL, [right, wrong])
    assert table["water"]["forces_mev_per_angstrom"] < 0.01
    assert table["zn-water"]["forces_mev_per_angstrom"] == pytest.approx(50, abs=0.01)
    assert table["zn-water"]["energy_mev_per_atom"] == pytest.approx(100, abs=0.01)
    assert table["all"]["frames"] == len((right, wrong))
