"""The whole network, five layers and 25.6 million random weights, against the official implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from oracles.agreement import FLOAT32, FLOAT64, list_disagreements
from oracles.orb_models_reference import VARIANTS, Reference, Variant, build_official_model, evaluate_official_model
from oracles.random_weights import wrap_state_dict
from oracles.structures import MAKERS, Structure

from orbmm.model.load import load_model
from orbmm.model.potential import NumpyPrediction, Potential

CHARGE_STATES = ((-1, 1), (-1, 3), (2, 1), (2, 3))
DIRECT = [name for name, variant in VARIANTS.items() if not variant.conservative]
OMOL = [name for name, variant in VARIANTS.items() if variant.omol]


@dataclass(frozen=True, eq=False, repr=False)
class Pair:
    """The same weights file, loaded by orbmm and by orb-models."""

    variant: Variant
    weights: Path
    ours: Potential
    official: torch.nn.Module
    known: dict[object, Reference] = field(default_factory=dict)

    def predict_officially(self, structure: Structure, state: tuple[int, ...]) -> Reference:
        """What orb-models predicts, computed once for all tests."""
        key = structure.name, state
        if key not in self.known:
            self.known[key] = evaluate_official_model(self.official, structure, *state)
        return self.known[key]

    def list_states(self, structure: Structure) -> list[tuple[int, ...]]:
        """Charge and multiplicity as the model takes them: all four states for the molecule, one elsewhere."""
        if not self.variant.omol:
            return [()]
        position = list(MAKERS).index(structure.name)
        return list(CHARGE_STATES) if structure.name == "molecule" else [CHARGE_STATES[position % 4]]


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, official_weights: Callable[[Variant], Path]) -> Pair:
    variant = VARIANTS[request.param]
    weights = official_weights(variant)
    ours = load_model(variant.name, weights=weights, device="cpu", precision="float64")
    return Pair(variant, weights, ours, build_official_model(variant, weights))


@pytest.fixture(scope="module")
def single_precision(pair: Pair) -> Potential:
    """The same weights in float32."""
    return load_model(pair.variant.name, weights=pair.weights, device="cpu", precision="float32-high")


def predict(model: Potential, structure: Structure, state: tuple[int, ...]) -> NumpyPrediction:
    return model.predict(structure.atomic_numbers, structure.positions, structure.cell, *state)


@pytest.mark.parametrize("structure_name", MAKERS)
def test_predictions_equal_those_of_orb_models(pair: Pair, structure_name: str) -> None:
    structure = MAKERS[structure_name]()
    for state in pair.list_states(structure):
        ours = predict(pair.ours, structure, state)
        assert list_disagreements(ours, pair.predict_officially(structure, state), FLOAT64) == {}, state


@pytest.mark.parametrize("structure_name", MAKERS)
def test_float32_stays_within_its_rounding(pair: Pair, single_precision: Potential, structure_name: str) -> None:
    structure = MAKERS[structure_name]()
    state = pair.list_states(structure)[-1]
    ours = predict(single_precision, structure, state)
    assert list_disagreements(ours, pair.predict_officially(structure, state), FLOAT32) == {}


def test_a_stress_is_given_exactly_where_the_model_has_one(pair: Pair) -> None:
    in_a_cell, alone = (
        predict(pair.ours, structure, pair.list_states(structure)[0])
        for structure in (MAKERS["two_atom_cell"](), MAKERS["molecule"]())
    )
    assert (in_a_cell.stress is not None) == (pair.variant.conservative or not pair.variant.omol)
    assert alone.stress is None


def test_the_rounding_of_bfloat16_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = pair.list_states(structure)[0]
    rounded = {
        name: tensor.bfloat16().float() if tensor.is_floating_point() else tensor
        for name, tensor in torch.load(pair.weights, weights_only=True).items()
    }
    ours = predict(wrap_state_dict(pair.ours.record, rounded), structure, state)
    noticed = list_disagreements(ours, pair.predict_officially(structure, state), FLOAT32)
    assert noticed.keys() >= {"energy", "forces", "confidence"}


def test_one_edge_less_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = pair.list_states(structure)[0]
    official = evaluate_official_model(pair.official, structure, *state, dropped_edges=1)
    noticed = list_disagreements(predict(pair.ours, structure, state), official, FLOAT64)
    assert noticed.keys() >= {"energy", "forces", "confidence"}


def test_one_neighbor_less_in_the_cap_is_noticed(pair: Pair) -> None:
    structure = MAKERS["dense_crystal"]()
    state = pair.list_states(structure)[0]
    capped = replace(pair.ours, record=replace(pair.ours.record, max_neighbors=pair.variant.max_neighbors - 1))
    noticed = list_disagreements(predict(capped, structure, state), pair.predict_officially(structure, state), FLOAT64)
    assert noticed.keys() >= {"energy", "forces", "confidence"}


@pytest.mark.parametrize("pair", OMOL, indirect=True)
def test_a_multiplicity_that_is_not_known_is_zero_as_in_orb_models(pair: Pair) -> None:
    if not pair.variant.omol:
        return  # takes none
    structure = MAKERS["molecule"]()
    ours = predict(pair.ours, structure, (-1, 0))
    assert list_disagreements(ours, pair.predict_officially(structure, (-1, 0)), FLOAT64) == {}
    assert list_disagreements(ours, pair.predict_officially(structure, (-1, 1)), FLOAT64) != {}


@pytest.mark.parametrize("state", [(0, 1), (-1, 3)], ids=["charge", "multiplicity"])
def test_another_charge_or_multiplicity_is_noticed(pair: Pair, state: tuple[int, int]) -> None:
    structure = MAKERS["molecule"]()
    noticed = list_disagreements(
        predict(pair.ours, structure, state), pair.predict_officially(structure, (-1, 1)), FLOAT64
    )
    assert noticed.keys() >= {"energy", "forces", "confidence"}


@pytest.mark.parametrize("offset", [0, 2])
def test_another_number_in_the_repulsion_is_noticed(pair: Pair, offset: int) -> None:
    assert list_disagreements_of_oddity(pair, "zbl_number_offset", offset).keys() == {"energy", "forces"}


def test_the_sum_in_place_of_the_mean_repulsion_is_noticed(pair: Pair) -> None:
    """And the other way round; direct forces have the summed repulsion always."""
    other = {"sum": "mean", "mean": "sum"}[pair.ours.record.oddities.zbl_aggregation]
    noticed = list_disagreements_of_oddity(pair, "zbl_aggregation", other)
    assert noticed.keys() == ({"energy", "forces"} if pair.variant.conservative else {"energy"})


@pytest.mark.parametrize("pair", DIRECT, indirect=True)
@pytest.mark.parametrize("oddity", ["subtracts_mean_force", "removes_net_torque"])
def test_a_net_force_or_torque_that_stays_is_noticed(pair: Pair, oddity: str) -> None:
    assert list_disagreements_of_oddity(pair, oddity, False).keys() == {"forces"}


def list_disagreements_of_oddity(pair: Pair, oddity: str, value: object) -> dict[str, float]:
    """How a molecule's prediction differs from the official one after one oddity of the record is changed."""
    structure = MAKERS["molecule"]()
    state = pair.list_states(structure)[0]
    record = replace(pair.ours.record, oddities=replace(pair.ours.record.oddities, **{oddity: value}))
    ours = wrap_state_dict(record, torch.load(pair.weights, weights_only=True))
    return list_disagreements(predict(ours, structure, state), pair.predict_officially(structure, state), FLOAT64)
