"""A System written by one process and read by another: a description, no network, no path."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest

import orbmm
from orbmm.forces.attach import create_system
from orbmm.forces.kinds import list_force_kinds
from orbmm.settings.model import ModelSettings

MODELS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
LARGEST_FILE = 40_000  # bytes: TorchScript's zip archive takes most of it


@pytest.fixture(scope="module")
def written(tmp_path_factory, random_weights, make_water):
    """A folder with one System for each force kind and model, whose weights= files were deleted afterwards."""
    folder, water = tmp_path_factory.mktemp("systems"), make_water("sheared")
    (folder / "positions.json").write_text(json.dumps(water.positions.tolist()))
    for name in MODELS:
        weights = folder / f"{name}.safetensors"
        shutil.copyfile(random_weights(name), weights)
        for kind in (kind.name for kind in list_force_kinds() if kind.available):
            model = ModelSettings(name=name, weights=weights, precision="float64", device="cpu", force=kind)
            system = create_system(water.topology, model)
            (folder / f"{kind} {name}.xml").write_text(openmm.XmlSerializer.serialize(system))
        weights.unlink()
    return folder, water


@pytest.fixture(scope="module")
def answers(written):
    """What another process, in another working directory, had to say to these Systems."""
    folder, _ = written
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    path = os.pathsep.join([str(Path(orbmm.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(Path(__file__).with_name("read_systems.py")), str(folder)]
    done = subprocess.run(
        command, cwd=elsewhere, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "answers.json").read_text())


@pytest.mark.parametrize("name", MODELS)
def test_a_system_is_read_in_a_new_process_after_one_import(name, kind, written, answers, compute):
    folder, water = written
    here = openmm.XmlSerializer.deserialize((folder / f"{kind} {name}.xml").read_text())
    energy, forces = compute(here, water.positions)
    read_energy, read_forces = answers[f"{kind} {name}"]["computed"]
    assert read_energy == pytest.approx(energy, rel=1e-12)
    assert np.abs(np.array(read_forces) - forces).max() < 1e-8


def test_only_a_torch_force_needs_the_import(kind, answers):
    read = answers[f"{kind} {MODELS[0]}"]["read_before_import"] is True
    assert read == (kind == "PythonForce")


def test_a_machine_without_the_weights_says_which_are_missing(kind, answers):
    assert "no unaltered weights file with sha256" in answers[f"{kind} {MODELS[0]}"]["without_weights"]


def test_the_file_holds_no_network_and_no_path(kind, written, random_weights):
    folder, _ = written
    text = (folder / f"{kind} {MODELS[0]}.xml").read_text()
    assert len(text) < LARGEST_FILE < random_weights(MODELS[0]).stat().st_size
    for spelling in (str(folder), str(folder).encode().hex()):
        assert spelling not in text
    assert any(spelling in text for spelling in (MODELS[0], MODELS[0].encode().hex()))


def test_a_deep_copy_computes_the_same(kind, random_weights, make_water, compute):
    water = make_water("cube")
    model = ModelSettings(name=MODELS[0], weights=random_weights(MODELS[0]), precision="float64", force=kind)
    system = create_system(water.topology, model)
    energy, forces = compute(system, water.positions)
    copied_energy, copied_forces = compute(copy.deepcopy(system), water.positions)
    assert copied_energy == pytest.approx(energy, rel=1e-12)
    assert np.abs(copied_forces - forces).max() < 1e-8
