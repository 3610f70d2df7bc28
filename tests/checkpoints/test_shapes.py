"""The tensors that a model needs are known without building it."""

from __future__ import annotations

import pytest

from orbmm.checkpoints.catalog import list_models
from orbmm.checkpoints.download import check_weights, largest_weights
from orbmm.checkpoints.shapes import list_optional_shapes, list_required_shapes
from orbmm.checkpoints.store import locate_weights
from orbmm.model.load import OPTIONAL_HEADS, make_network


@pytest.mark.parametrize("record", list_models(), ids=lambda record: record.name)
def test_the_listed_shapes_are_those_of_the_network(record):
    shapes = {name: tuple(tensor.shape) for name, tensor in make_network(record).state_dict().items()}
    required, optional = list_required_shapes(record), list_optional_shapes(record)
    assert {**required, **optional} == shapes
    assert {name.split(".")[1] for name in optional} <= set(OPTIONAL_HEADS)
    assert not any(name.startswith(tuple(f"heads.{head}." for head in OPTIONAL_HEADS)) for name in required)
    assert 4 * 8 * sum(tensor.numel() for tensor in make_network(record).state_dict().values()) < largest_weights(
        record
    )


@pytest.mark.parametrize("record", [record for record in list_models() if record.file], ids=lambda record: record.name)
def test_the_embedded_weights_pass(record):
    path = locate_weights(record).path
    check_weights(record, path, str(path))
