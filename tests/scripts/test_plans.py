"""What the errors of the embedded networks are measured on was not among what they were taught on."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "embedded" / "sample_frames.py"
HELD_OUT = {"held-out", "own-held-out", "residues-held-out"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_frames", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def list_boxes(plans: Iterable[list]) -> set[tuple[str | None, int, bool]]:
    """Solute, number of waters and whether it is periodic, of every trajectory."""
    return {(each.residue, each.waters, each.periodic) for plan in plans for each in plan}


def test_every_plan_is_for_training_or_held_out(script: ModuleType) -> None:
    assert {name for name in script.PLANS if "held-out" in name} == HELD_OUT
    assert set(script.PLANS) - HELD_OUT == {"training", "distorted", "folded", "own", "residues", "salt", "active-site"}


def test_held_out_boxes_are_of_no_size_in_training(script: ModuleType) -> None:
    taught = list_boxes(make() for name, make in script.PLANS.items() if name not in HELD_OUT)
    held_out = list_boxes(script.PLANS[name]() for name in HELD_OUT)
    assert len(held_out) > 4 and len(taught) > 30
    assert taught & held_out == set()


def test_a_box_of_training_among_the_held_out_is_noticed(script: ModuleType) -> None:
    taught, held_out = script.plan_training(), script.plan_held_out()
    moved = replace(held_out[0], waters=taught[0].waters, temperature=555.0)
    assert list_boxes([taught]) & list_boxes([[moved]])


def test_no_two_trajectories_share_a_name(script: ModuleType) -> None:
    """The groups are what a split between training and validation goes by."""
    names = [each.group for make in script.PLANS.values() for each in make()]
    assert len(names) == len(set(names))
