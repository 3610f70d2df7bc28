"""The frames that are picked for labels: uncertain, different from each other, and possible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.conftest import CONSERVATIVE, DIRECT
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.errors import OrbmmError, TrainingError
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.training.data.frames import Frame, read_frames, write_frames
from orbmm.training.labels.choose import (
    Candidate,
    choose_frames,
    describe_surroundings,
    estimate_errors,
    order_candidates,
)
from orbmm.training.labels.labellers import make_labeller


@pytest.fixture(scope="module")
def model() -> Potential:
    return load_model(CONSERVATIVE, device="cpu")


def pull(frame: Frame, shift: float) -> Frame:
    """Return the frame with one stretched bond."""
    positions = frame.positions.copy()
    positions[1, 0] += shift
    return replace(frame, positions=positions)


def test_strange_frames_are_picked(frames: list[Frame], model: Potential) -> None:
    given = [*frames[:3], pull(frames[3], 0.5), *frames[4:], pull(frames[0], 0.6)]
    choice = choose_frames(given, model, 2)
    errors = [estimate_errors(frame, model, None).max() for frame in given]
    assert choice.picked[0] is given[int(np.argmax(errors))] and int(np.argmax(errors)) in (3, 10)
    assert choice.errors.min() >= sorted(errors)[-4], "the rest is chosen among the worst"


def test_a_second_model_counts_where_both_disagree(frames: list[Frame], model: Potential) -> None:
    other = load_model(DIRECT, device="cpu")
    alone, both = (estimate_errors(frames[0], model, second) for second in (None, other))
    forces = [one.predict(frames[0].atomic_numbers, frames[0].positions).forces for one in (model, other)]
    np.testing.assert_allclose(both, np.maximum(alone, np.abs(forces[0] - forces[1]).mean(axis=1)), atol=1e-6)
    assert (both > alone).any()


def test_copies_are_not_picked_twice(frames: list[Frame], model: Potential) -> None:
    strange = pull(frames[3], 0.5)
    moved = replace(strange, positions=strange.positions + 1.0, group="moved")
    choice = choose_frames([*frames[:3], strange, replace(strange, group="copy")], model, 5)
    assert len(choice.picked) == 4
    nearly = choose_frames([*frames[:3], strange, moved], model, 2)
    assert {frame.group for frame in nearly.picked} != {strange.group, "moved"}


def test_an_error_alone_would_pick_neighbours() -> None:
    """Of three alike and one other, the other is second, though its error is the least."""
    candidates = [
        Candidate(None, error, np.array([place])) for error, place in ((1.0, 0.0), (0.9, 0.1), (0.8, 0.2), (0.5, 3.0))
    ]
    assert order_candidates(candidates, 3) == [0, 3, 2]
    harmless = [Candidate(None, 0.1, np.array([10.0 + index])) for index in range(20)]
    assert max(order_candidates([*candidates, *harmless], 2)) < 4


def test_surroundings_do_not_depend_on_orientation_or_order(frames: list[Frame]) -> None:
    frame, elements = frames[0], np.array([1, 8])
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    order = np.array([0, *np.random.default_rng(4).permutation(np.arange(1, len(frame.positions)))])
    changed = replace(frame, positions=(frame.positions @ turn)[order], atomic_numbers=frame.atomic_numbers[order])
    before = describe_surroundings(frame, 0, elements)
    np.testing.assert_allclose(describe_surroundings(changed, 0, elements), before, atol=1e-9)
    assert np.abs(describe_surroundings(frame, 3, elements) - before).max() > 0.01


def test_frames_that_nobody_should_label_are_left_out(frames: list[Frame], model: Potential) -> None:
    choice = choose_frames([*frames[:4], pull(frames[4], -0.93)], model, 9)
    assert choice.left_out == 1 and len(choice.picked) == 4


def test_a_charge_is_refused_where_labels_would_be_wrong(frames: list[Frame], model: Potential) -> None:
    charged = replace(frames[0], charge=1)
    assert choose_frames([charged], model, 1).picked == [charged]
    teacher = make_labeller(f"orbmm:{CONSERVATIVE}")
    with pytest.raises(TrainingError, match=r"charge \+1"):
        teacher(charged)
    assert teacher(replace(frames[0], charge=0, multiplicity=1)) is not None


def call(*words: object) -> Result:
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.mark.parametrize("suffix", ["npz", "extxyz"])
def test_picked_frames_are_labelled_next(suffix: str, frames: list[Frame], tmp_path: Path) -> None:
    pytest.importorskip("ase")
    write_frames(tmp_path / "frames.npz", [replace(frame, energy=None, forces=None) for frame in frames])
    picked, labelled = tmp_path / f"picked.{suffix}", tmp_path / "labelled.npz"
    result = call("choose", tmp_path / "frames.npz", "--model", CONSERVATIVE, "--count", 3, "-o", picked)
    assert result.exit_code == 0 and "with 3 frames" in result.output, result.output
    assert call("label", picked, labelled, "--calculator", f"orbmm:{DIRECT}").exit_code == 0
    by_group = {frame.group: frame for frame in frames}
    for frame in read_frames(labelled):
        original = by_group[frame.group]
        np.testing.assert_allclose(frame.positions, original.positions, atol=1e-6)
        np.testing.assert_array_equal(frame.peptide, original.peptide)
        assert (frame.cell is None) == (original.cell is None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frames.npz", "--model", CONSERVATIVE, "--compare", CONSERVATIVE, "-o", "p.npz"], "same weights"),
        (["frames.npz", "--model", CONSERVATIVE, "-o", "p.pdb"], ".npz or .extxyz"),
        (["frames.npz", "--model", CONSERVATIVE, "-o", "frames.npz"], "exists already"),
        (["absent", "--model", CONSERVATIVE, "-o", "p.npz"], "no such file"),
        ([".", "--model", CONSERVATIVE, "-o", "p.npz"], "run"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], said: str, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "frames.npz", frames)
    result = call("choose", *words)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output, result.output


def test_an_unknown_element_is_an_error_and_not_a_broken_frame(frames: list[Frame], model: Potential) -> None:
    iron = replace(frames[0], atomic_numbers=np.full_like(frames[0].atomic_numbers, 26))
    with pytest.raises(OrbmmError, match="Fe"):
        choose_frames([iron, *frames[1:]], model, 2)


def test_no_frames_at_all_are_an_error(model: Potential) -> None:
    with pytest.raises(TrainingError, match="no frames to choose from"):
        choose_frames([], model, 2)
