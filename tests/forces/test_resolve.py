"""A network is translated where a run wins the time back, and nowhere else unless asked for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.record_in_file import format_record
from orbmm.errors import SettingsError
from orbmm.files import hash_file
from orbmm.forces import resolve
from orbmm.forces.resolve import ATOMS_WORTH_COMPILING, STEPS_WORTH_COMPILING, resolve_compile
from orbmm.model.load import make_network
from orbmm.settings import ModelSettings, read_settings

FEW, MANY = 300, STEPS_WORTH_COMPILING


@pytest.fixture(autouse=True)
def linux_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve.sys, "platform", "linux")
    monkeypatch.setattr(resolve, "find_compiler", lambda: "g++")
    monkeypatch.setattr(resolve, "has_python_headers", lambda: True)
    monkeypatch.setattr(resolve, "has_temporary_room", lambda: True)


def decide(atoms: int = FEW, steps: int = MANY, **model: Any) -> bool:
    settings = ModelSettings(**{"device": "cpu", **model})
    return resolve_compile(settings, find_record(settings.name), torch.device(settings.device), atoms, steps)


def test_a_long_run_of_a_small_network_is_compiled_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert decide()
    assert f"compile = true: in {MANY} steps orb-mini-conservative-inf-xtb gains more" in caplog.text


@pytest.mark.parametrize(
    "case",
    [
        {"steps": MANY - 1},
        {"atoms": ATOMS_WORTH_COMPILING + 1},
        {"name": "orb-v3-direct-inf-omat"},  # it gains nothing
        {"precision": "bfloat16"},  # compiled networks do not round
        {"memory": "lean"},
        {"edges_per_block": 100},
        {"compile": False},
    ],
    ids=lambda case: next(iter(case)),
)
def test_elsewhere_it_is_not(case: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert not decide(**case)
    assert caplog.text == ""


def test_what_was_asked_for_is_done_however_short() -> None:
    assert decide(steps=1, compile=True)


@pytest.mark.parametrize("missing", ["find_compiler", "has_python_headers", "has_temporary_room"])
def test_without_a_compiler_it_runs_plain_and_says_what_it_misses(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(resolve, missing, lambda: None)
    assert not decide()
    assert "with a C++ compiler" in caplog.text


def test_other_systems_run_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve.sys, "platform", "darwin")
    assert not decide()


def test_a_run_on_a_gpu_keeps_the_block_that_its_free_memory_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "find_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr("orbmm.model.inference.memory.read_free_bytes", lambda device: 8 * 2**30)
    first = resolve.resolve_model(ModelSettings("orb-v3-direct-inf-omat"), FEW, MANY).settings
    assert first.edges_per_block is not None and first.compile is False
    monkeypatch.setattr("orbmm.model.inference.memory.read_free_bytes", lambda device: 2**30)
    assert resolve.resolve_model(first, FEW, MANY).settings.edges_per_block == first.edges_per_block
    assert (
        resolve.resolve_model(ModelSettings("orb-v3-direct-inf-omat"), FEW, MANY).settings.edges_per_block
        < first.edges_per_block
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_a_run_on_a_cpu_has_the_block_that_fits_its_cache(compiled: bool) -> None:
    model = ModelSettings(device="cpu", compile=compiled)
    assert resolve.resolve_model(model, FEW, MANY).settings == model


@pytest.mark.gpu
def test_a_gpu_is_not_asked_to_compile() -> None:
    assert not decide(device="cuda")


def test_a_name_that_is_a_weights_file_beside_the_settings_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = find_record("orb-mini-direct-inf-xtb")
    record = replace(base, name="mine", file=None, sha256=None, residues=None, bonds=None)
    path, system = tmp_path / "mine.safetensors", tmp_path / "system.toml"
    save_file(make_network(record).state_dict(), path, metadata=format_record(record, {}))
    system.write_text('[system]\nname = "own"\n[model]\nname = "mine.safetensors"\ndevice = "cpu"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = resolve.resolve_model(read_settings(system).model)
    assert (found.settings.name, found.settings.weights, found.record.name) == ("orbmm", path, "mine")
    assert found.weights.sha256 == hash_file(path)


def test_two_files_for_one_network_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"name is 'a.safetensors' and weights is 'b.safetensors', but one file"):
        ModelSettings("a.safetensors", Path("b.safetensors"))
