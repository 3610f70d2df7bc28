"""The whole network, five layers and 25.6 million random weights, against the official implementation in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from oracles.agreement import FLOAT32, FLOAT64, list_disagreements
from oracles.orb_models_reference import VARIANTS, Variant, build_official_model, evaluate_official_model
from oracles.random_weights import wrap_state_dict
from oracles.structures import MAKERS, Structure

from orbmm.model.load import load_model
from orbmm.model.potential import NumpyPrediction, Potential

CHARGE_STATES = ((-1, 1), (-1, 3), (2, 1), (2, 3))
NO_ODDITY = {
    "zbl_number_offset": 0,
    "zbl_aggregation": {"sum": "mean", "mean": "sum"},
    "subtracts_mean_force": False,
    "removes_net_torque": False,
}


@dataclass(frozen=True, repr=False)
class Pair:
    """The same weights file, loaded by orbmm and by orb-models."""

    variant: Variant
    ours: Potential
    official: torch.nn.Module
    weights: Path


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, official_weights: Callable[[Variant], Path]) -> Pair:
    variant = VARIANTS[request.param]
    weights = official_weights(variant)
    ours = load_model(variant.name, weights=weights, device="cpu", precision="float64")
    return Pair(variant, ours, build_official_model(variant, weights), weights)


@pytest.fixture(scope="module")
def single_precision(pair: Pair) -> Potential:
    """The same weights in float32."""
    return load_model(pair.variant.name, weights=pair.weights, device="cpu", precision="float32-high")


def predict(model: Potential, structure: Structure, *charge_state: int) -> NumpyPrediction:
    return model.predict(structure.atomic_numbers, structure.positions, structure.cell, *charge_state)


def list_states(pair: Pair, structure_name: str) -> list[tuple[int, ...]]:
    """Charge and multiplicity as the model takes them: all four pairs on the molecule, one of them elsewhere."""
    if not pair.variant.omol:
        return [()]
    position = list(MAKERS).index(structure_name)
    return list(CHARGE_STATES) if structure_name == "molecule" else [CHARGE_STATES[position % 4]]


@pytest.mark.parametrize("structure_name", MAKERS)
def test_predictions_equal_those_of_orb_models(pair: Pair, structure_name: str) -> None:
    structure = MAKERS[structure_name]()
    for state in list_states(pair, structure_name):
        ours = predict(pair.ours, structure, *state)
        official = evaluate_official_model(pair.official, structure, *state)
        assert list_disagreements(ours, official, FLOAT64) == {}, state


@pytest.mark.parametrize("structure_name", MAKERS)
def test_float32_stays_within_its_rounding(pair: Pair, single_precision: Potential, structure_name: str) -> None:
    structure = MAKERS[structure_name]()
    state = list_states(pair, structure_name)[-1]
    official = evaluate_official_model(pair.official, structure, *state)
    assert list_disagreements(predict(single_precision, structure, *state), official, FLOAT32) == {}


def test_the_rounding_of_bfloat16_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = list_states(pair, structure.name)[0]
    rounded = {
        name: tensor.bfloat16().float() if tensor.is_floating_point() else tensor
        for name, tensor in torch.load(pair.weights, weights_only=True).items()
    }
    official = evaluate_official_model(pair.official, structure, *state)
    ours = predict(wrap_state_dict(pair.ours.record, rounded), structure, *state)
    assert list_disagreements(ours, official, FLOAT32).keys() >= {"energy", "forces", "confidence"}


def test_a_stress_is_given_exactly_where_the_model_has_one(pair: Pair) -> None:
    in_a_cell = predict(pair.ours, MAKERS["two_atom_cell"](), *list_states(pair, "two_atom_cell")[0])
    alone = predict(pair.ours, MAKERS["molecule"](), *list_states(pair, "molecule")[0])
    assert (in_a_cell.stress is not None) == (pair.variant.conservative or not pair.variant.omol)
    assert alone.stress is None


def test_one_edge_less_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = list_states(pair, structure.name)[0]
    official = evaluate_official_model(pair.official, structure, *state, dropped_edges=1)
    noticed = list_disagreements(predict(pair.ours, structure, *state), official, FLOAT64)
    assert noticed.keys() >= {"energy", "forces", "confidence"}


def test_one_neighbor_less_in_the_cap_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = list_states(pair, structure.name)[0]
    capped = replace(pair.ours, record=replace(pair.ours.record, max_neighbors=pair.variant.max_neighbors - 1))
    official = evaluate_official_model(pair.official, structure, *state)
    assert list_disagreements(predict(capped, structure, *state), official, FLOAT64).keys() >= {"energy", "forces"}


@pytest.mark.parametrize("change", [(1, 0), (0, 2)], ids=["charge", "multiplicity"])
def test_another_charge_or_multiplicity_is_noticed(pair: Pair, change: tuple[int, int]) -> None:
    if not pair.variant.omol:
        pytest.skip("only omol models take charge and multiplicity")
    structure = MAKERS["molecule"]()
    ours = predict(pair.ours, structure, -1 + change[0], 1 + change[1])
    official = evaluate_official_model(pair.official, structure, -1, 1)
    assert list_disagreements(ours, official, FLOAT64).keys() >= {"energy", "forces", "confidence"}


@pytest.mark.parametrize("oddity", NO_ODDITY)
def test_a_published_oddity_left_out_is_noticed(pair: Pair, oddity: str) -> None:
    if pair.variant.conservative and oddity in ("subtracts_mean_force", "removes_net_torque"):
        pytest.skip("conservative models have no net force or torque to remove")
    structure = MAKERS["molecule"]()
    state = list_states(pair, structure.name)[0]
    change = NO_ODDITY[oddity]
    if isinstance(change, dict):
        change = change[pair.ours.record.oddities.zbl_aggregation]
    record = replace(pair.ours.record, oddities=replace(pair.ours.record.oddities, **{oddity: change}))
    ours = wrap_state_dict(record, torch.load(pair.weights, weights_only=True))
    official = evaluate_official_model(pair.official, structure, *state)
    assert list_disagreements(predict(ours, structure, *state), official, FLOAT64)
