"""Forces with the pairs of earlier steps are those of a network that never saw another step, to the last bit."""

from __future__ import annotations

import numpy as np
import openmm
import pytest
import torch

from orbmm.forces.attach import create_system
from orbmm.forces.description import ForceDescription
from orbmm.forces.evaluator import Evaluator
from orbmm.graph.verlet import VerletList
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings

NAMES = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
STEP_NM = 0.004  # standard deviation: half the skin is left after a few steps


@pytest.fixture
def make_evaluator(random_weights, make_water):
    """An evaluator of its own for a box of water, and where its atoms are [nm]."""

    def make(name: str = NAMES[0], box: str = "sheared", seed: int = 0):
        water = make_water(box, seed=seed)
        potential = load_model(name, random_weights(name), "cpu", "float32-highest")
        numbers = tuple(water.atomic_numbers)
        description = ForceDescription(
            name, potential.weights_sha256, "float32-highest", "cpu", numbers, None, water.box is not None
        )
        box_nm = None if water.box is None else torch.from_numpy(water.box)
        return Evaluator(potential, description), torch.from_numpy(water.positions), box_nm

    return make


def walk(positions: torch.Tensor, steps: int, seed: int = 0) -> list[torch.Tensor]:
    moves = np.random.default_rng(seed).normal(0, STEP_NM, (steps, *positions.shape))
    return list(positions + torch.from_numpy(moves.cumsum(axis=0)))


def is_same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(mine, yours) for mine, yours in zip(one, other, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("box", ["open", "cube", "dodecahedron"])
def test_what_came_before_does_not_change_a_bit(name: str, box: str, make_evaluator) -> None:
    evaluator, positions, box_nm = make_evaluator(name, box)
    for frame in walk(positions, 10):
        fresh, _, _ = make_evaluator(name, box)
        assert is_same(evaluator.evaluate(frame, box_nm), fresh.evaluate(frame, box_nm))
    assert 1 < evaluator._neighbors.searches < 10


def test_pairs_kept_too_long_would_be_seen(make_evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator, positions, box_nm = make_evaluator()
    frame = walk(positions, 60)[-1]
    evaluator.evaluate(positions, box_nm)
    monkeypatch.setattr(VerletList, "_is_near", lambda *_: True)
    stale = evaluator.evaluate(frame, box_nm)
    fresh, _, _ = make_evaluator()
    assert not is_same(stale, fresh.evaluate(frame, box_nm))


def test_a_barostat_changes_the_box_under_an_evaluator(make_evaluator) -> None:
    evaluator, positions, box_nm = make_evaluator()
    seen = []
    for scale in (1.0, 1.01, 1.0):
        fresh, _, _ = make_evaluator()
        found = evaluator.evaluate(positions * scale, box_nm * scale)
        assert is_same(found, fresh.evaluate(positions * scale, box_nm * scale))
        seen.append(found)
    assert is_same(seen[0], seen[2])
    assert not is_same(seen[0], seen[1])


def test_contexts_that_take_turns_disturb_each_other_in_nothing(kind, random_weights, make_water) -> None:
    model = ModelSettings(NAMES[0], random_weights(NAMES[0]), "float64", "cpu", kind)
    waters = [make_water("sheared", seed=seed) for seed in (1, 2)]
    system = create_system(waters[0].topology, model)

    def open_context(water) -> openmm.Context:
        context = openmm.Context(
            system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference")
        )
        context.setPositions(water.positions)
        return context

    def read(context: openmm.Context) -> np.ndarray:
        return context.getState(positions=True).getPositions(asNumpy=True)._value

    alone = []
    for water in waters:
        context = open_context(water)
        context.getIntegrator().step(8)
        alone.append(read(context))
    contexts = [open_context(water) for water in waters]
    for _ in range(8):
        for context in contexts:
            context.getIntegrator().step(1)
    assert all(np.array_equal(read(context), path) for context, path in zip(contexts, alone, strict=True))
    assert not np.array_equal(alone[0], alone[1])
