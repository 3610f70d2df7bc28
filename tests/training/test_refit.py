"""A refit of the confidence by the settings of a training: half of what is held out is learned, half measured."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training.conftest import CONSERVATIVE
from typer.testing import CliRunner, Result

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.record_in_file import read_record, read_training
from orbmm.cli.main import build_app
from orbmm.model.load import load_model
from orbmm.training.confidence.calibration import measure_calibration
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.refit import split_groups

HEAD = "heads.confidence."


def test_groups_are_split_and_never_a_frame_of_one(frames: list[Frame]) -> None:
    graphs = [prepare_frame(frame, find_record(CONSERVATIVE)) for frame in frames]
    one, other = split_groups([*graphs, *graphs])
    assert len(one) == len(other) == 10 and not {g.group for g in one} & {g.group for g in other}
    alone = [replace(graph, group="same") for graph in graphs]
    assert [len(part) for part in split_groups(alone)] == [5, 5]


FILE = """
[model]
name = "mine"
level_of_theory = "invented"
[data]
training = ["frames.npz"]
energy_unit = "eV"
force_unit = "eV/Å"
validation_share = 0.4
[optimizer]
steps = {steps}
edges_per_batch = 200
[confidence]
refit = {refit}
{more}
[run]
output = "out"
"""


def _call(folder: Path, frames: list[Frame], **words: str) -> Result:
    write_frames(folder / "frames.npz", frames)
    text = FILE.format(**{"steps": "0", "refit": "true", "more": ""} | words)
    (folder / "training.toml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(build_app(), ["train", str(folder / "training.toml")])


@pytest.fixture
def labelled(frames: list[Frame]) -> list[Frame]:
    """Frames with labels that are near the network's own: a wrong unit would be refused."""
    potential = load_model(CONSERVATIVE, device="cpu")
    found = []
    for index, frame in enumerate(frames):
        own = potential.predict(frame.atomic_numbers, frame.positions, frame.cell)
        noise = np.random.default_rng(index).normal(0.0, 0.1, own.forces.shape)
        found.append(replace(frame, energy=own.energy, forces=own.forces + noise))
    return found


def test_without_steps_only_the_confidence_is_refitted(labelled: list[Frame], tmp_path: Path) -> None:
    result = _call(tmp_path, labelled)
    assert result.exit_code == 0, result.output
    assert "held out, before" in result.output and "bins of the expected error" in result.output
    weights = load_file(tmp_path / "out" / "mine.safetensors")
    start = load_model(CONSERVATIVE, device="cpu").network.state_dict()
    changed = {name for name in start if not torch.equal(start[name], weights[name])}
    assert changed and all(name.startswith(f"{HEAD}mlp.") for name in changed)
    kept = json.loads((tmp_path / "out" / "confidence.json").read_text("utf-8"))
    read = read_training(tmp_path / "out" / "mine.safetensors")["confidence"]
    assert kept["after"] == read["calibration"] and kept["before"] != kept["after"]
    network = load_model(str(tmp_path / "out" / "mine.safetensors"), device="cpu", precision="float32-highest").network
    held = [prepare_frame(f, read_record(tmp_path / "out" / "mine.safetensors")) for f in labelled]
    assert measure_calibration(network, held).atoms > kept["after"]["held out"]["atoms"]
    assert "their confidence refitted" in read_record(tmp_path / "out" / "mine.safetensors").note


def test_a_training_ends_with_its_refit(labelled: list[Frame], tmp_path: Path) -> None:
    more = [replace(f, positions=f.positions + [1.0, 0.0, 0.0], group=f"other {i}") for i, f in enumerate(labelled)]
    write_frames(tmp_path / "more.npz", [replace(f, positions=1.01 * f.positions) for f in more])
    result = _call(tmp_path, labelled, steps="2", more='frames = ["more.npz"]')
    assert result.exit_code == 0, result.output
    kept = json.loads((tmp_path / "out" / "confidence.json").read_text("utf-8"))
    assert set(kept["after"]) == {"held out", "more frames"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"refit": "false"}, "nothing to do"),
        ({"refit": "false", "steps": "2", "more": 'frames = ["more.npz"]'}, "set refit = true"),
        ({"more": 'frames = ["absent.npz"]'}, "no such file"),
        ({"steps": "2", "more": 'frames = ["frames.npz"]'}, "held out"),
    ],
)
def test_a_refit_that_cannot_be_is_one_sentence(
    words: dict[str, str], said: str, labelled: list[Frame], tmp_path: Path
) -> None:
    result = _call(tmp_path, labelled, **words)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output
    assert result.stderr.count("\n") <= 2 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("patience", [0, 2])
def test_a_finished_training_is_not_changed_by_another_resume(
    patience: int, labelled: list[Frame], tmp_path: Path
) -> None:
    kept_files = ("mine.safetensors", "confidence.json", "validation.json")
    assert _call(tmp_path, labelled, steps="2").exit_code == 0
    settings, out = tmp_path / "training.toml", tmp_path / "out"
    if patience:
        shutil.rmtree(out)
        settings.write_text(settings.read_text("utf-8").replace("[run]", "[run]\npatience = 2"), encoding="utf-8")
        assert CliRunner().invoke(build_app(), ["train", str(settings)]).exit_code == 0
    before = [(out / name).read_bytes() for name in kept_files]
    result = CliRunner().invoke(build_app(), ["train", str(settings), "--resume"])
    assert result.exit_code == 0, result.output
    assert [(out / name).read_bytes() for name in kept_files] == before
    assert "held out, before" in result.output
