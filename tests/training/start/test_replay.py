"""Replay: the old domain is labelled by the start, drawn in its share, reported beside the new, and remembered."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.conftest import CONSERVATIVE, make_settings
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.errors import SettingsError, TrainingError
from orbmm.model.load import load_model
from orbmm.settings import ReplaySettings, TrainingSettings, write_settings
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.data.reading import LabelledData, split_frames
from orbmm.training.run import prepare_task
from orbmm.training.start.replay import read_replay
from orbmm.training.steps import loop
from orbmm.training.steps.loop import train
from orbmm.training.validation.errors import OLD_DOMAIN


def with_replay(folder: Path, **changes: object) -> TrainingSettings:
    """Return settings that start from the embedded network; a change of [replay] is given as replay={...}."""
    own = {"frames": (folder / "old.npz",)} | changes.pop("replay", {})
    return replace(make_settings(folder, CONSERVATIVE, from_scratch=False, **changes), replay=ReplaySettings(**own))


@pytest.fixture
def new(frames: list[Frame]) -> list[Frame]:
    return frames[:5]


@pytest.fixture
def old(frames: list[Frame]) -> list[Frame]:
    return frames[5:]


def strip(frames: list[Frame]) -> list[Frame]:
    return [replace(frame, energy=None, forces=None) for frame in frames]


def test_the_start_labels_the_old_domain(new: list[Frame], old: list[Frame], tmp_path: Path) -> None:
    """Forces are those of the start, energies too but for one constant an element, which the new labels set."""
    task = prepare_task(with_replay(tmp_path), LabelledData(new, []), tmp_path, LabelledData(strip(old), []))
    start = load_model(CONSERVATIVE, device="cpu", precision="float32-highest")
    shifts = []
    for graph, frame in zip(task.replay, old, strict=True):
        expected = start.predict(frame.atomic_numbers, frame.positions, frame.cell)
        np.testing.assert_allclose(graph.forces.numpy(), expected.forces, atol=3e-5)
        assert np.abs(graph.forces.numpy() - frame.forces).max() > 0.1
        assert np.isfinite(graph.stress.numpy()).all() == (frame.cell is not None)
        shifts.append((graph.energy - expected.energy) / (len(frame.atomic_numbers) // 3))
    assert np.ptp(shifts) < 1e-3 < abs(shifts[0])


def test_given_labels_are_kept(new: list[Frame], old: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "old.npz", old)
    settings = with_replay(tmp_path, replay={"labels": "given", "validation_share": 0.0})
    task = prepare_task(settings, LabelledData(new, []), tmp_path, read_replay(settings, LabelledData(new, [])))
    assert [graph.energy for graph in task.replay] == [frame.energy for frame in old]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_old_domain_is_drawn_in_its_share(share: float, new: list[Frame], old: list[Frame], tmp_path: Path) -> None:
    settings = with_replay(tmp_path, replay={"share": share}, edges_per_batch=1)
    task = prepare_task(settings, LabelledData(new, []), tmp_path, LabelledData(strip(old), []))
    energies = {graph.energy for graph in task.replay}
    drawn = [
        float(loop._draw(task.training, settings, step, task.replay).energies[0]) in energies for step in range(300)
    ]
    assert np.mean(drawn) == pytest.approx(share, abs=0.08)  # three standard deviations of 300 draws


def test_replay_keeps_what_the_start_knew(frames: list[Frame], tmp_path: Path) -> None:
    """The new labels are noise, so a training on them alone must spoil the old domain."""
    new, old = frames[:3], strip(frames[3:])
    moved = {}
    for share in (0.0, 0.7):
        settings = with_replay(tmp_path / str(share), replay={"share": share}, steps=25, learning_rate=2e-3)
        (tmp_path / str(share)).mkdir()
        task = prepare_task(settings, LabelledData(new, []), tmp_path / str(share), split_frames(old, 0.3, 1))
        trained = train(task)
        assert trained.before[OLD_DOMAIN].forces_mev_per_angstrom < 0.1
        moved[share] = trained.after[OLD_DOMAIN].forces_mev_per_angstrom
    assert moved[0.7] < 0.7 * moved[0.0]


def test_the_old_domain_is_reported_beside_the_new(new: list[Frame], old: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.npz", new)
    write_frames(tmp_path / "old.npz", strip(old))
    settings = with_replay(tmp_path / "out", replay={"frames": (tmp_path / "old.npz",), "validation_share": 0.4})
    data = replace(settings.data, training=(tmp_path / "frames.npz",), validation_share=0.2)
    write_settings(replace(settings, data=data), tmp_path / "t.toml")
    result = CliRunner().invoke(build_app(), ["train", str(tmp_path / "t.toml")])
    assert result.exit_code == 0 and OLD_DOMAIN in result.output, result.output
    report = json.loads((tmp_path / "out" / "validation.json").read_text("utf-8"))
    assert report["after"][OLD_DOMAIN]["frames"] == 2 and report["after"]["all"]["frames"] == 1
    with (tmp_path / "out" / "history.csv").open(encoding="utf-8") as stream:
        assert float(list(csv.DictReader(stream))[-1]["old_forces_mev_per_angstrom"]) > 0.0


def test_a_structure_of_both_domains_is_replayed_by_its_new_label_only(frames: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "old.npz", strip(frames))
    settings = with_replay(tmp_path, replay={"validation_share": 0.3})
    old = read_replay(settings, LabelledData(frames[:5], frames[5:6]))
    assert {frame.group for frame in [*old.training, *old.validation]} == {frame.group for frame in frames[6:]}
    with pytest.raises(TrainingError, match=r"\[replay\]: validation_share is 0.01 of 4 frames"):
        read_replay(with_replay(tmp_path, replay={"validation_share": 0.01}), LabelledData(frames[:6], []))
    with pytest.raises(TrainingError, match="held out for validation"):
        prepare_task(with_replay(tmp_path), LabelledData(frames, []), tmp_path, LabelledData([], strip(frames)))


def test_another_repulsion_needs_given_labels(new: list[Frame], old: list[Frame], tmp_path: Path) -> None:
    settings = with_replay(tmp_path, zbl_aggregation="sum")
    with pytest.raises(TrainingError, match='set labels = "given"'):
        prepare_task(settings, LabelledData(new, []), tmp_path, LabelledData(strip(old), []))
    given = replace(settings, replay=replace(settings.replay, labels="given"))
    assert len(prepare_task(given, LabelledData(new, []), tmp_path, LabelledData(old, [])).replay) == len(old)


def test_random_weights_have_nothing_to_keep(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with pytest.raises(SettingsError, match="random weights know nothing"):
        replace(settings, replay=ReplaySettings(frames=(tmp_path / "old.npz",)))
