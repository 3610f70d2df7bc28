"""A number of threads holds inside a block only, and for a prediction of a network that names it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orbmm.errors import ModelError
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.threads import in_threads
from orbmm.model.load import load_model
from orbmm.model.network.orb import DirectOrb

WATER = [8, 1, 1], [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]


def test_the_threads_are_put_back_after_the_block_and_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), in_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    with in_threads(None):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [None, 2])
def test_a_network_computes_with_the_threads_it_was_loaded_for(
    count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, before = [], torch.get_num_threads()
    model = load_model("orb-mini-direct-inf-xtb", device="cpu", execution=Execution(threads=count))
    predict = type(model.engine).predict

    def note(*arguments: object) -> object:
        seen.append(torch.get_num_threads())
        return predict(*arguments)

    monkeypatch.setattr(type(model.engine), "predict", note)
    forces = model.predict(*WATER).forces
    assert seen == [count or before] and torch.get_num_threads() == before
    assert isinstance(model.network, DirectOrb) and np.isfinite(forces).all()


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(ModelError, match="threads is 0, but must be at least 1"):
        Execution(threads=0)
