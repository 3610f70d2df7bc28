"""No key of [model] is ignored: each changes the description of a force, is refused, or is listed with a reason."""

from __future__ import annotations

import dataclasses

import pytest

from orbmm.errors import OrbmmError
from orbmm.forces.attach import describe_force
from orbmm.settings import ModelSettings
from orbmm.settings.field import setting

BASE = ModelSettings("orb-mini-direct-inf-xtb", device="cpu")

OTHER_VALUES = {
    "name": "orb-mini-conservative-inf-xtb",
    "precision": "float64",
    "device": "auto",
    "compile": True,  # refused without a compiler
    "memory": "lean",
    "edges_per_block": 512,
    "search": "kd_tree",
    "kernels": "torch",
    "cuda_graphs": True,  # refused without a GPU
    "threads": 1,
    "first_contact": "skip",
    "dispersion": "d3bj-pbe",  # refused by this model
    "charge": 1,  # refused by this model
    "fast": "orb-mini-direct-inf-xtb",  # refused by this model, which is direct itself
    "multiplicity": 2,  # refused by this model
}
ELSEWHERE = {
    "force": "it chooses the class of the force; attach_force reads it, and test_contract tests every kind",
    "tune": "it decides whether measurements fill in other keys; tests/tuning tests both values",
}


def list_ignored(base: ModelSettings, topology, other_values: dict[str, object]) -> list[str]:
    """The keys whose other value is accepted and does not change the description."""
    expected = describe_force(topology, base, None, True)
    ignored = []
    for field in dataclasses.fields(base):
        if field.name in ELSEWHERE:
            continue
        changed = dataclasses.replace(base, **{field.name: other_values[field.name]})
        try:
            if describe_force(topology, changed, None, True).to_json() == expected.to_json():
                ignored.append(field.name)
        except OrbmmError:  # refused, so not ignored
            continue
    return ignored


def test_every_key_of_the_model_changes_the_description(make_water, random_weights):
    values = {**OTHER_VALUES, "weights": random_weights(BASE.name)}
    assert list_ignored(BASE, make_water().topology, values) == []


def test_a_key_that_nothing_reads_would_be_seen(make_water, random_weights):
    new_field = ("colour", str, setting("A key that no code reads.", "red"))
    longer = dataclasses.make_dataclass("LongerSettings", [new_field], bases=(ModelSettings,), frozen=True)
    values = {**OTHER_VALUES, "weights": random_weights(BASE.name), "colour": "blue"}
    assert list_ignored(longer(BASE.name, device="cpu"), make_water().topology, values) == ["colour"]


def test_a_key_without_another_value_here_fails_the_test(make_water):
    with pytest.raises(KeyError, match="weights"):
        list_ignored(BASE, make_water().topology, OTHER_VALUES)
