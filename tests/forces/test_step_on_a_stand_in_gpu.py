"""A step that is launched, or recorded, as a whole gives what no earlier step can change, and never a stale answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from forces.test_on_a_stand_in_gpu import CONSERVATIVE, DIRECT, GPU, are_close, describe, evaluate_on_cpu, put
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators

from orbmm.errors import ModelError, StructureError
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import find_evaluator, forget_evaluators
from orbmm.model.inference.execution import Execution
from orbmm.model.step import Step

WALK_NM = 0.006  # standard deviation of a step: some steps carry an atom by half the skin
BLOCK = 300  # edges


@pytest.fixture
def operators() -> Iterator[Operators]:
    with stand_in_gpu() as counts:
        yield counts
        forget_evaluators()


def make_evaluator(water, name: str, recorded: bool, **changes) -> Evaluator:
    """An evaluator that has seen no step. The network is the same for all."""
    execution = Execution(edges_per_block=BLOCK, cuda_graphs=recorded)
    description = describe(water, name, "cuda", execution=execution, **changes)
    return Evaluator(find_evaluator(description.to_json(), GPU).potential, description)


def walk(water, steps: int) -> list:
    """The water along a random walk, each molecule through another image now and then, with a change of the box."""
    random, frames = np.random.default_rng(4), []
    for step in range(steps):
        positions = water.positions + random.normal(0, WALK_NM, water.positions.shape)
        if water.box is not None:
            positions[step::4] += water.box[step % 3]
        water = replace(water, positions=positions)
        frames.append(water)
    if water.box is not None:
        frames.append(replace(water, positions=1.01 * water.positions, box=1.01 * water.box))
    return frames


CASES = [(DIRECT, "sheared", True), (CONSERVATIVE, "cube", False), (CONSERVATIVE, "open", True)]


@pytest.mark.parametrize("name, box, recorded", CASES)
def test_what_came_before_does_not_change_a_bit(name: str, box: str, recorded: bool, make_water, operators) -> None:
    frames = walk(make_water(box), 6)
    evaluator = make_evaluator(frames[0], name, recorded)
    for water in [*frames, frames[0]]:
        found = evaluator.evaluate(*put(water, GPU))
        fresh = make_evaluator(water, name, recorded).evaluate(*put(water, GPU))
        assert all(torch.equal(mine, yours) for mine, yours in zip(found, fresh, strict=True))
        assert are_close(found, evaluate_on_cpu(water, name, None, torch.float64))
    assert 1 < evaluator._neighbors.searches
    assert bool(operators.launched["replay"]) == recorded


@pytest.mark.parametrize("recorded", [False, True])
def test_an_answer_given_before_the_report_is_read_would_be_seen(
    recorded: bool, make_water, operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    water = make_water("cube")
    moved = replace(water, positions=water.positions + np.random.default_rng(1).normal(0, 0.03, water.positions.shape))
    expected = evaluate_on_cpu(moved, DIRECT, None, torch.float64)
    for is_read in (True, False):
        evaluator = make_evaluator(water, DIRECT, recorded)
        evaluator.evaluate(*put(water, GPU))
        if not is_read:
            monkeypatch.setattr(Step, "_is_valid", lambda *_: True)
        assert are_close(evaluator.evaluate(*put(moved, GPU)), expected) == is_read


def test_a_search_comes_before_an_atom_has_gone_too_far(make_water, operators, monkeypatch) -> None:
    water, valid = make_water("cube"), []
    check = Step._is_valid
    monkeypatch.setattr(Step, "_is_valid", lambda *args: valid.append(check(*args)) or valid[-1])
    evaluator = make_evaluator(water, DIRECT, recorded=False)
    for step in range(30):
        positions = water.positions.copy()
        positions[3, 0] += 0.004 * step
        evaluator.evaluate(*put(replace(water, positions=positions), GPU))
    assert 3 <= evaluator._neighbors.searches <= 5
    assert all(valid) and len(valid) >= 30  # no step was launched in vain


def test_more_bonds_than_expected_make_room_for_themselves(make_water, operators, monkeypatch) -> None:
    water = make_water("cube")
    monkeypatch.setattr("orbmm.model.step.climb_ladder", lambda edges: int(-(-edges // 8) * 8))
    monkeypatch.setattr("orbmm.model.step.BONDS_PER_ATOM", 0.25)
    evaluator = make_evaluator(water, DIRECT, recorded=False)
    assert are_close(evaluator.evaluate(*put(water, GPU)), evaluate_on_cpu(water, DIRECT, None, torch.float64))


def _never_valid(*_: object) -> bool:
    return False


@pytest.mark.parametrize("recorded", [False, True])
def test_a_report_that_stays_invalid_ends_in_an_error(recorded: bool, make_water, operators, monkeypatch) -> None:
    evaluator = make_evaluator(make_water("cube"), DIRECT, recorded)
    monkeypatch.setattr(Step, "_is_valid", _never_valid)
    with pytest.raises(ModelError, match="computed 8 times and never fits"):
        evaluator.evaluate(*put(make_water("cube"), GPU))


@pytest.mark.parametrize("recorded", [False, True])
def test_overlaps_bad_coordinates_and_numbers_that_are_not_finite_are_errors(
    recorded: bool, make_water, operators
) -> None:
    water = make_water("cube")
    evaluator = make_evaluator(water, DIRECT, recorded, precision="float16")
    evaluator.evaluate(*put(water, GPU))
    for atom, place, words in ((1, water.positions[0], "lie on top of each other"), (2, np.nan, "finite numbers")):
        positions = water.positions.copy()
        positions[atom] = place
        with pytest.raises(StructureError, match=words):
            evaluator.evaluate(*put(replace(water, positions=positions), GPU))
    evaluator.potential.network.heads["forces"].normalizer.bn.running_var.fill_(torch.inf)
    with pytest.raises(ModelError, match="NaN or infinity in float16"):
        evaluator.evaluate(*put(water, GPU))


def test_coordinates_from_the_host_cost_two_waits_more(make_water, operators) -> None:
    water = make_water("cube")
    evaluator = make_evaluator(water, DIRECT, recorded=True)
    for step in range(3):
        moved = replace(water, positions=water.positions + 1e-4 * step)
        operators.forget()
        found = evaluator.evaluate(*put(moved, torch.device("cpu")))
    assert operators.waits == {"copy to cuda": 1, "copy to cpu": 2}  # coordinates; the report with the energy, forces
    assert are_close(found, evaluate_on_cpu(moved, DIRECT, None, torch.float64))
