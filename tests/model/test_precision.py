"""What each precision costs in accuracy, and that it concerns nobody else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.errors import ModelError
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.load import load_model
from orbmm.model.potential import NumpyPrediction, Potential
from orbmm.model.precision import find_precision
from orbmm.settings.model import PRECISIONS

# Relative rounding of one operand: 2^-24, 2^-11 and 2^-8. Errors of some twenty products in a row add up at random, and
# random weights pass each on unshrunk; eight times the rounding of one is what a network of this size then shows.
ROUNDING = {"float32-highest": 2**-24, "float32-high": 2**-24, "float16": 2**-11, "bfloat16": 2**-8}
GROWTH = {"float32-highest": 40, "float32-high": 40, "float16": 8, "bfloat16": 8}
MODELS = ("orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat")


def predict(potential: Potential) -> NumpyPrediction:
    structure = MAKERS["water_cube"]()
    return potential.predict(structure.atomic_numbers, structure.positions, structure.cell)


def round_to(name: str, potential: Potential) -> Potential:
    """The potential, which holds float64 weights, in another precision."""
    precision = find_precision(name)
    network = potential.network.to(precision.dtype)
    return replace(
        potential,
        network=network,
        precision=precision,
        engine=Engine(network, precision, MemoryUse(), potential.device),
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ROUNDING)
def test_errors_of_a_precision_are_those_of_its_rounding(model: str, name: str) -> None:
    exact = predict(make_random_potential(model))
    rounded = predict(round_to(name, make_random_potential(model)))
    error = np.sqrt(((rounded.forces - exact.forces) ** 2).mean()) / np.sqrt((exact.forces**2).mean())
    assert 0.02 * ROUNDING[name] < error < GROWTH[name] * ROUNDING[name]


def test_an_overflow_in_float16_is_named() -> None:
    potential = make_random_potential("orb-mini-direct-inf-xtb")
    potential.network.model.gnn_stacks[0]._edge_mlp.mlp.first.weight.data.mul_(1e6)
    structure = MAKERS["water_cube"]()
    rounded = round_to("float16", potential)
    composition = rounded.compose(structure.atomic_numbers)
    positions, cell = torch.from_numpy(structure.positions), torch.from_numpy(structure.cell)
    for output in rounded.network.available_outputs:
        with pytest.raises(ModelError, match=r"infinity in float16, whose largest number is 65504: choose bfloat16"):
            rounded.evaluate(composition, positions, cell, frozenset({output}))
    assert np.isfinite(predict(round_to("bfloat16", potential)).forces).all()


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_prediction_leaves_the_settings_of_torch_alone(name: str) -> None:
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    prediction = predict(round_to(name, make_random_potential("orb-mini-conservative-inf-xtb")))
    assert prediction.forces.dtype == np.float64
    assert (torch.get_default_dtype(), torch.get_float32_matmul_precision()) == before


def test_the_nearest_name_is_offered_for_an_unknown_precision() -> None:
    with pytest.raises(ModelError, match="unknown precision 'bfloat15': did you mean 'bfloat16'"):
        find_precision("bfloat15")


@pytest.mark.parametrize("model", ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb"))
def test_what_the_caller_rounds_to_changes_no_prediction(model: str) -> None:
    potential = round_to("float32-high", make_random_potential(model))
    alone = predict(potential)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            within = predict(potential)
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16, "and the caller's own code rounds on"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert within.energy == alone.energy
    np.testing.assert_array_equal(within.forces, alone.forces)


def test_compiled_networks_take_no_rounded_operands() -> None:
    with pytest.raises(ModelError, match="a compiled network does not round to bfloat16"):
        load_model("orb-mini-direct-inf-xtb", device="cpu", precision="bfloat16", execution=Execution(compile=True))
