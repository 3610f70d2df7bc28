"""A copy of a loaded model has weights of its own, and computes with them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential

from orbmm.model.load import make_network
from orbmm.model.potential import Potential

WATER = ([8, 1, 1], [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
KINDS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
DUPLICATES = (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)))
ROUNDING = 1e-9  # [eV, eV/Å] in float64


def change_weights(model: Potential) -> None:
    """Make every weight 1 % larger, in place."""
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.mul_(1.01)


def compute_with_plain_network(model: Potential) -> tuple[float, np.ndarray]:
    """Energy and forces by the network's own forward method, which reads every weight when it is called."""
    composition, positions = model.compose(WATER[0]), torch.tensor(WATER[1], dtype=torch.float64)
    graph = model.make_graph(composition, positions, None, model.find_edges(positions, None))
    network = make_network(model.record).to(torch.float64).eval().requires_grad_(False)
    network.load_state_dict(model.network.state_dict())
    result = network(graph, frozenset({"energy", "forces"}))
    return float(result.energy), result.forces.numpy()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_copy_computes_with_its_own_weights(name: str, duplicate: Callable[[Potential], Potential]) -> None:
    model = make_random_potential(name)
    before = model.predict(*WATER)
    other = duplicate(model)
    assert other.predict(*WATER).energy == before.energy
    change_weights(other)
    after = other.predict(*WATER)
    energy, forces = compute_with_plain_network(other)
    assert after.energy == pytest.approx(energy, abs=ROUNDING)
    np.testing.assert_allclose(after.forces, forces, atol=ROUNDING)
    assert abs(after.energy - before.energy) > 1e3 * ROUNDING
    unchanged = model.predict(*WATER)
    assert unchanged.energy == before.energy and (unchanged.forces == before.forces).all()


@pytest.mark.parametrize("name", KINDS)
def test_weights_that_are_changed_in_place_are_used(name: str) -> None:
    model = make_random_potential(name)
    model.predict(*WATER)
    change_weights(model)
    assert model.predict(*WATER).energy == pytest.approx(compute_with_plain_network(model)[0], abs=ROUNDING)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_copy_of_a_compiled_model_computes_with_its_own_weights(
    name: str, duplicate: Callable[[Potential], Potential], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.compile returns a function that calls the method of one network, here without minutes of compilation."""
    monkeypatch.setattr(torch, "compile", lambda method, **options: lambda *inputs: method(*inputs))
    model = replace(make_random_potential(name), engine=None)
    model.network.compile_network()
    before = model.predict(*WATER)
    other = duplicate(model)
    change_weights(other)
    assert other.predict(*WATER).energy == pytest.approx(compute_with_plain_network(other)[0], abs=ROUNDING)
    assert abs(other.predict(*WATER).energy - before.energy) > 1e3 * ROUNDING
    assert model.predict(*WATER).energy == before.energy
