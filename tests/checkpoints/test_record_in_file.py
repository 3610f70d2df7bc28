"""A weights file that carries its own record is loaded without a catalogue entry, and a bad record is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.checkpoints.record_in_file import RECORD_KEY, format_record, read_record, read_training, resolve_record
from orbmm.errors import CheckpointError, ModelError
from orbmm.model.load import load_model, make_network

NAME = "orb-mini-conservative-inf-xtb"


@pytest.fixture
def record() -> CheckpointRecord:
    """A network of a size that no catalogue entry has."""
    base = find_record(NAME)
    small = replace(base.architecture, latent_dim=16, mlp_hidden_dim=24, layers=2)
    unknown = dict.fromkeys(("file", "sha256", "residues", "bonds"))
    return replace(base, name="mine", elements=(1, 8), level_of_theory="invented", architecture=small, **unknown)


@pytest.fixture
def weights(record: CheckpointRecord, tmp_path: Path) -> Path:
    """Its weights, with the record inside."""
    path = tmp_path / "mine.safetensors"
    save_file(make_network(record).state_dict(), path, metadata=format_record(record, {"frames": 7}))
    return path


def test_a_record_comes_back_as_it_was_written(record: CheckpointRecord, weights: Path) -> None:
    assert read_record(weights) == record
    assert read_training(weights) == {"frames": 7}
    assert record.load_name == "orbmm" and find_record(NAME).load_name == NAME


def test_the_file_is_a_model_by_itself(record: CheckpointRecord, weights: Path) -> None:
    water = ([8, 1, 1], np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
    energies = {
        load_model(str(weights), device="cpu").predict(*water).energy,
        load_model("orbmm", weights, device="cpu").predict(*water).energy,
        load_model("mine", weights, device="cpu").predict(*water).energy,
    }
    assert len(energies) == 1
    assert load_model(str(weights), device="cpu").record == record


def test_a_name_and_a_file_that_disagree_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match="holds the model 'mine', but 'orb-v3-direct-inf-omat' was asked for"):
        resolve_record("orb-v3-direct-inf-omat", weights)


def test_the_name_orbmm_needs_a_file_with_a_record(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="give the file as weights="):
        resolve_record("orbmm")
    bare = tmp_path / "bare.safetensors"
    save_file(make_network(find_record(NAME)).state_dict(), bare)
    with pytest.raises(CheckpointError, match="does not say which network it holds"):
        resolve_record("orbmm", bare)
    assert resolve_record(NAME, bare) == find_record(NAME)


def test_a_file_without_a_record_is_of_the_name_that_is_given(tmp_path: Path) -> None:
    assert read_record(tmp_path / "absent.safetensors") is None
    assert read_record(tmp_path / "official.ckpt") is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "indirect"},
        {"max_neighbors": -1},
        {"elements": []},
        {"elements": [1, 999]},
        {"elements": "H"},
        {"friction_per_ps": float("nan")},
        {"takes_charge": 1},
        {"architecture": {"latent_dim": 10**9}},
        {"architecture": {"layers": "2"}},
        {"architecture": {"colour": 3}},
        {"architecture": {"cutoff_angstrom": 1e6}},
        {"oddities": {"zbl_aggregation": "median"}},
        {"more": 1},
    ],
)
def test_an_impossible_record_is_refused(change: dict, record: CheckpointRecord, tmp_path: Path) -> None:
    metadata = format_record(record, {})
    entry = json.loads(metadata[RECORD_KEY])
    for key, value in change.items():
        entry[key] = {**entry[key], **value} if isinstance(value, dict) else value
    path = tmp_path / "bad.safetensors"
    save_file(make_network(record).state_dict(), path, metadata={**metadata, RECORD_KEY: json.dumps(entry)})
    with pytest.raises(CheckpointError, match="damaged record"):
        read_record(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"format": 1}', "[" * 100_000])
def test_a_record_that_is_no_record_is_refused(text: str, record: CheckpointRecord, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(make_network(record).state_dict(), path, metadata={RECORD_KEY: text})
    with pytest.raises(CheckpointError, match="damaged record"):
        read_record(path)


def test_a_record_of_another_size_than_the_tensors_is_refused(record: CheckpointRecord, tmp_path: Path) -> None:
    wider = replace(record, architecture=replace(record.architecture, latent_dim=32))
    path = tmp_path / "wider.safetensors"
    save_file(make_network(record).state_dict(), path, metadata=format_record(wider, {}))
    with pytest.raises(CheckpointError, match="expected"):
        load_model(str(path), device="cpu")
