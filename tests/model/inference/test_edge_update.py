"""A network with half-precision edges, carried out by the plain twin of the fused kernels, is the network itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.agreement import FLOAT32, list_disagreements
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS

from orbmm.checkpoints.architecture import Architecture
from orbmm.errors import ModelError
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.kernels.edge_update.plain import PlainEdgeKernels
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.potential import NumpyPrediction, Potential

MODELS = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")
WIDE = Architecture(latent_dim=64, mlp_hidden_dim=128, mlp_depth=2, layers=2)  # the depth of the published networks
TWIN = PlainKernels(PlainEdgeKernels())
# Hidden values, edges and messages are rounded where they are stored too: twice the roundings, and a factor for luck.
FLOAT16_EXCESS = 2 * math.sqrt(2)


def make(name: str, precision: str) -> Potential:
    changes = {} if name.startswith("orb-mini") else {"architecture": WIDE}
    return make_random_potential(name, precision=precision, **changes)


def predict(potential: Potential, kernels: str | Kernels, use: MemoryUse = MemoryUse(300, "fast")) -> NumpyPrediction:  # noqa: B008
    structure = MAKERS["water_cube"]()
    engine = Engine(potential.network, potential.precision, use, potential.device, kernels)
    return replace(potential, engine=engine).predict(structure.atomic_numbers, structure.positions, structure.cell)


NAMES = (*MODELS, "orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat")


@pytest.mark.parametrize("name", NAMES)
def test_in_float32_the_fused_path_is_the_network(name: str) -> None:
    potential = make(name, "float32-high")
    assert list_disagreements(predict(potential, TWIN), predict(potential, "torch"), FLOAT32) == {}


def test_three_hidden_layers_are_fused_too() -> None:
    deep = replace(WIDE, mlp_depth=3)
    potential = make_random_potential("orb-v3-conservative-inf-omat", precision="float32-high", architecture=deep)
    assert list_disagreements(predict(potential, TWIN), predict(potential, "torch"), FLOAT32) == {}


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_edges_err_little_more_than_half_precision_products(name: str) -> None:
    exact = predict(make(name, "float64"), "torch").forces
    fused, now = (predict(make(name, "float16"), kernels).forces for kernels in (TWIN, "torch"))
    errors = [np.sqrt(((forces - exact) ** 2).mean()) for forces in (fused, now)]
    assert 0 < errors[0] < FLOAT16_EXCESS * errors[1]
    assert not np.array_equal(fused, now)


@pytest.mark.parametrize("precision", ["float16", "float32-high"])
@pytest.mark.parametrize("name", [name for name in NAMES if "conservative" in name])
def test_what_is_kept_and_what_is_computed_twice_is_the_same_to_the_last_bit(name: str, precision: str) -> None:
    potential = make(name, precision)
    fast, lean = (predict(potential, TWIN, MemoryUse(300, mode)) for mode in ("fast", "lean"))
    assert fast.energy == lean.energy
    np.testing.assert_array_equal(fast.forces, lean.forces)


class ForgetTheResidual(PlainEdgeKernels):
    """Edges become messages alone."""

    def finish(self, hidden, weights, gate, outputs, raw) -> None:  # type: ignore[no-untyped-def]
        super().finish(hidden, weights, replace(gate, edges=torch.zeros_like(gate.edges)), outputs, raw)


@pytest.mark.parametrize("name", MODELS)
def test_a_lost_residual_connection_would_be_seen(name: str) -> None:
    potential = make(name, "float32-high")
    spoiled, expected = predict(potential, PlainKernels(ForgetTheResidual())), predict(potential, "torch")
    assert "forces" in list_disagreements(spoiled, expected, FLOAT32)


def test_widths_that_no_tile_divides_are_refused() -> None:
    architecture = replace(WIDE, mlp_hidden_dim=96)
    potential = make_random_potential(MODELS[0], precision="float16", architecture=architecture)
    with pytest.raises(ModelError, match="need widths that are powers of two from 16 on, got 64, 96"):
        predict(potential, TWIN)
