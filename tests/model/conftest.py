"""Weights files of the official form, written once per test run and shared by all modules of this room."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from oracles.orb_models_reference import Variant, require_orb_models, write_official_weights


@pytest.fixture(scope="session", autouse=True)
def temporary_cache() -> Iterator[None]:
    """Keep registered weights (100 MB a file) out of the user's cache."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "ORBMM_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def official_weights() -> Iterator[Callable[[Variant], Path]]:
    """Called with a variant: the path of its random official weights file."""
    require_orb_models()
    with tempfile.TemporaryDirectory() as folder:

        def find_or_write(variant: Variant) -> Path:
            path = Path(folder) / variant.weights_name
            seed = sum(variant.weights_name.encode())
            return path if path.exists() else write_official_weights(variant, path, seed)

        yield find_or_write


@pytest.fixture(autouse=True)
def untouched_default_dtype() -> Iterator[None]:
    """No test of this room, and nothing that it calls, may leave another default dtype behind."""
    before = torch.get_default_dtype()
    yield
    assert torch.get_default_dtype() == before
