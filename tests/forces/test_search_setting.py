"""Which search finds the neighbours is a setting like others: it reaches the graph and changes no edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orbmm.errors import MissingDependency, SettingsError
from orbmm.forces.attach import create_system, describe_force
from orbmm.forces.description import ForceDescription
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.graph import verlet
from orbmm.graph.search.choose import METHODS
from orbmm.settings import ModelSettings


@pytest.mark.parametrize("search", [name for name in METHODS if name != "ball_cover"])
def test_every_search_gives_the_same_forces_in_openmm(search, make_water, compute, monkeypatch):
    water = make_water("sheared")
    expected = compute(create_system(water.topology, ModelSettings(device="cpu")), water.positions)
    asked = []
    choose = verlet.choose_search

    def remember(method, positions):
        asked.append(method)
        return choose(method, positions)

    monkeypatch.setattr(verlet, "choose_search", remember)
    energy, forces = compute(create_system(water.topology, ModelSettings(device="cpu", search=search)), water.positions)
    assert set(asked) == {search}
    assert energy == expected[0]
    np.testing.assert_array_equal(forces, expected[1])


def test_a_description_keeps_the_search_for_a_new_process(make_water):
    text = describe_force(make_water().topology, ModelSettings(device="cpu", search="cell_list"), None, True).to_json()
    assert ForceDescription.from_json(text).execution.search == "cell_list"
    assert find_evaluator(text, torch.device("cpu")).potential.search == "cell_list"


def test_a_search_that_cannot_run_here_is_refused_before_the_first_step(make_water):
    with pytest.raises(MissingDependency, match="cuML"):
        create_system(make_water().topology, ModelSettings(device="cpu", search="ball_cover"))
    with pytest.raises(SettingsError, match="search is 'kdtree'"):
        ModelSettings(search="kdtree")
