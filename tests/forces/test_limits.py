"""Limits that act without an error are said once: the neighbours of an atom, the evaluators and networks kept."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch
from oracles.neighbours import list_edges

from orbmm.forces import evaluator_cache
from orbmm.forces.attach import describe_force
from orbmm.forces.evaluator_cache import find_evaluator, forget_evaluators
from orbmm.settings.model import ModelSettings

CPU = torch.device("cpu")
CAPPED, UNCAPPED = "orb-v3-direct-20-omat", "orb-mini-direct-inf-xtb"


def describe(water, random_weights, name: str, **settings):
    model = ModelSettings(name=name, weights=random_weights(name), device="cpu", **settings)
    return describe_force(water.topology, model, None, water.box is not None)


def evaluate(description, water) -> None:
    box = None if water.box is None else torch.from_numpy(water.box)
    find_evaluator(description.to_json(), CPU).evaluate(torch.from_numpy(water.positions), box)


def read_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(autouse=True)
def forget():
    """Let each test begin without evaluators."""
    forget_evaluators()
    yield
    forget_evaluators()


def test_edges_that_the_cap_leaves_out_are_counted_once(make_water, random_weights, caplog) -> None:
    water = make_water("open")
    description = describe(water, random_weights, CAPPED)
    positions = water.positions * 10.0
    edges = [len(list_edges(positions, None, 6.0, limit)) for limit in (None, 20)]
    full = np.bincount([edge[0] for edge in list_edges(positions, None, 6.0)])
    for _ in range(2):
        evaluate(description, water)
    expected = f"{edges[0] - edges[1]} of {edges[0]} edges within 6 Å, at {(full > 20).sum()} of 24 atoms"
    assert [expected in message for message in read_messages(caplog)] == [True]
    assert edges[0] > edges[1]


def test_no_word_where_the_cap_does_not_act(make_water, random_weights, caplog) -> None:
    water = make_water("open", molecules=6)  # 17 neighbours at most
    evaluate(describe(water, random_weights, CAPPED), water)
    water = make_water("open")
    evaluate(describe(water, random_weights, UNCAPPED), water)
    assert not read_messages(caplog)


def test_evaluators_built_again_are_said_once(make_water, random_weights, caplog) -> None:
    water = make_water("open", molecules=1)
    description = describe(water, random_weights, UNCAPPED)
    several = [dataclasses.replace(description, atomic_numbers=(8,) * number) for number in range(1, 18)]  # 17
    for each in several[:16] * 2:
        find_evaluator(each.to_json(), CPU)
    assert not read_messages(caplog)
    for each in several * 2:
        find_evaluator(each.to_json(), CPU)
    assert len(read_messages(caplog)) == 1
    assert "more than 16 forces in turn" in read_messages(caplog)[0]


def test_networks_read_again_are_said_once(make_water, random_weights, caplog) -> None:
    water = make_water("open", molecules=1)
    names = ("float64", "float32-highest", "float32-high", "bfloat16")
    several = [describe(water, random_weights, UNCAPPED, precision=name) for name in names]
    several.append(describe(water, random_weights, "orb-mini-conservative-inf-xtb"))
    for _ in range(2):
        for each in several:
            evaluator_cache._build_evaluator.cache_clear()
            find_evaluator(each.to_json(), CPU)
    assert sum("more than 4 networks in turn" in message for message in read_messages(caplog)) == 1
