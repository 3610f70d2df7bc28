"""scripts/study/collect_proteins.py: what it keeps of an analysis, and what it misses."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


def test_chosen_numbers_are_kept_and_an_absent_one_is_named(load_script: Callable[[str], ModuleType]) -> None:
    script = load_script("scripts/study/collect_proteins.py")
    density = {"density_mean": {"value": 1.00312, "unit": "g/cm^3"}, "other": {"value": 1.0, "unit": ""}}
    assert script.pick("density", density) == {"density_mean": 1.0031}
    heat = {"mean": 300.0, "mean_error": None, "C_mean": 299.0, "bath": 300.0}
    found = script.pick("temperature", {name: {"value": value, "unit": "K"} for name, value in heat.items()})
    assert found == {"mean": 300.0, "mean_error": None, "C_mean": 299.0}
    with pytest.raises(KeyError, match="density has no density_mean"):
        script.pick("density", {"mean": {"value": 1.0, "unit": ""}})
