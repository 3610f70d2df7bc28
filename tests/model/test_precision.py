"""What each precision costs in accuracy, and that it concerns nobody else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

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

# Largest relative rounding of one number, u: 2^-24, 2^-11 and 2^-8. Numbers fill a power of two evenly in their
# logarithm. So the root mean square of the rounding is 0.42 u: u / sqrt(3) times the root mean square of 1/m, 0.74,
# for mantissas m between 1 and 2.
UNIT = {"float32-highest": 2**-24, "float32-high": 2**-24, "float16": 2**-11, "bfloat16": 2**-8}
ROUNDED_OPERANDS = ("float16", "bfloat16")
TYPICAL = 0.42
WIDEST = 1024  # terms in the sums of the perceptrons' products
# Products in a row on the longest path through the network: encoder, five blocks of edges and then nodes, force head.
# The backward pass, which gives conservative forces, is as long again.
PRODUCTS = {"orb-v3-direct-inf-omat": 3 + 5 * (3 + 3) + 2, "orb-v3-conservative-inf-omat": 2 * (3 + 5 * (3 + 3) + 2)}
MODELS = tuple(PRODUCTS)
# One draw of weights need not show the root mean square; three times that is a wide margin for random errors.
DRAW = 3.0


def expect_error(name: str, model: str) -> float:
    """Return the root mean square of the relative error of the forces that a precision's roundings add up to.

    Operands, rounded before float32 sums: both factors of a term are off by 0.42 u, and of a sum of n terms with random
    signs the error grows as the sum does, with sqrt(n): sqrt(2) 0.42 u whatever n is.
    Sums in float32: adding term k rounds a partial sum of size sqrt(k), which adds up to 0.42 u n / sqrt(2) on a sum of
    size sqrt(n): 0.42 u sqrt(n / 2). This is for terms added one after the other. A processor that adds in several
    lanes rounds fewer times, which is why processors differ.
    Products in a row have independent errors, and random weights pass each on unshrunk: sqrt(products) times as much.
    """
    one_product = TYPICAL * UNIT[name] * np.sqrt(2 if name in ROUNDED_OPERANDS else WIDEST / 2)
    return one_product * np.sqrt(PRODUCTS[model])


@cache
def measure_error(name: str, model: str) -> float:
    """Return the relative error of the forces, root mean square against float64."""
    exact = predict(make_random_potential(model))
    rounded = predict(round_to(name, make_random_potential(model)))
    return np.sqrt(((rounded.forces - exact.forces) ** 2).mean() / (exact.forces**2).mean())


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
@pytest.mark.parametrize("name", UNIT)
def test_errors_of_a_precision_are_those_of_its_rounding(model: str, name: str) -> None:
    # Less than one rounded number of error would mean that the precision was not in force.
    assert TYPICAL * UNIT[name] < measure_error(name, model) < DRAW * expect_error(name, model)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("lower", "promised"), [("float16", "float32-highest"), ("float16", "float32-high"), ("bfloat16", "float16")]
)
def test_a_lower_precision_than_promised_is_noticed(model: str, lower: str, promised: str) -> None:
    # float16 operands have the 10 bits of TF32, which float32-highest must never use.
    assert measure_error(lower, model) > DRAW * expect_error(promised, model)


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
