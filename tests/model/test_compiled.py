"""A compiled network gives what the plain one gives, and says so where it cannot be compiled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import MissingDependency, ModelError
from orbmm.model.compiled import compile_network, find_compiler
from orbmm.model.inference.execution import Execution
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import ENERGY_AND_FORCES, Potential

# Sums in another order, in float64: energies of some eV, forces of some eV/Å.
CLOSE = 1e-11


def make_two_layers(name: str) -> Potential:
    """Two, so that a gradient passes from edge to edge through the nodes between."""
    architecture = replace(find_record(name).architecture, layers=2)
    return make_random_potential(name, architecture=architecture)


def evaluate(model: Potential, scale: float = 1.0, outputs: frozenset[str] = ENERGY_AND_FORCES) -> Prediction:
    structure = MAKERS["water_cube"]()
    positions, cell = torch.from_numpy(structure.positions), torch.from_numpy(structure.cell)
    return model.evaluate(model.compose(structure.atomic_numbers), scale * positions, scale * cell, outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")  # torch's compiler uses it itself
@pytest.mark.parametrize("name", ["orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"])
def test_a_compiled_network_gives_the_same(name):
    model = make_two_layers(name)
    plain = [evaluate(model, scale) for scale in (1.0, 1.1)]  # the second with fewer edges
    if find_compiler() is None:
        with pytest.raises(MissingDependency, match="C\\+\\+ compiler"):
            compile_network(model)
        return
    model = compile_network(model)
    for before, scale in zip(plain, (1.0, 1.1), strict=True):
        with torch._dynamo.config.patch(error_on_recompile=scale != 1.0):
            after = evaluate(model, scale)
        assert (after.energy - before.energy).abs().max() < CLOSE
        assert (after.forces - before.forces).abs().max() < CLOSE
    assert (after.forces - plain[0].forces).abs().max() > 1e3 * CLOSE
    assert torch.equal(evaluate(model, 1.1, frozenset({"energy"})).energy, after.energy), "one translation, one energy"


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(MissingDependency, match="leave compile out"):
        compile_network(make_two_layers("orb-mini-direct-inf-xtb"))


@pytest.mark.parametrize("memory", [{"memory": "lean"}, {"edges_per_block": 1000}])
def test_blocks_and_lean_memory_are_not_asked_of_a_compiled_network(memory):
    with pytest.raises(ModelError, match="choose compile, or memory and edges_per_block, but not both"):
        Execution(**memory, compile=True)
