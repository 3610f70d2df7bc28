"""Random weights with which a training begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.model.load import make_network
from orbmm.training.start.begin import initialise_weights

SIZE = find_record("orb-mini-direct-inf-xtb")
CHARGED = replace(SIZE, takes_charge=True, architecture=replace(SIZE.architecture, charge_and_spin=True))


@pytest.mark.parametrize("charge", [-1.0, 1.0, 2.0])
def test_a_charge_makes_a_difference_from_the_start(charge: float) -> None:
    network = make_network(CHARGED)
    conditioner = network.get_submodule("model.conditioner")
    given = (torch.tensor([0.0, charge]), torch.ones(2))
    neutral, charged = conditioner(*given)
    assert torch.equal(neutral, charged)  # the twin: as a network is built, no charge can be learned
    initialise_weights(network, seed=1)
    neutral, charged = conditioner(*given)
    assert (neutral - charged).abs().max() > 0.5
