"""Labels that would train a wrong network are refused, with the number of the frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.conftest import CONSERVATIVE, DIRECT, make_settings

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import TrainingError
from orbmm.model.load import load_model
from orbmm.training.data.checks import check_apart, check_frames
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task


def spoil(frame: Frame, what: str) -> Frame:
    positions = frame.positions.copy()
    if what == "two atoms in one place":
        positions[1] = positions[0] + 0.01
    nan = frame.forces.copy()
    nan[2, 1] = np.nan
    return replace(
        frame,
        **{
            "a NaN energy": {"energy": float("nan")},
            "a NaN force": {"forces": nan},
            "an infinite position": {"positions": np.where(positions == positions[0, 0], np.inf, positions)},
            "an element of no table": {"atomic_numbers": np.full(len(positions), 119)},
            "two atoms in one place": {"positions": positions},
            "a flat cell": {"cell": np.diag([8.0, 8.0, 0.0])},
            "too few forces": {"forces": frame.forces[:-1]},
            "a stress without a cell": {"cell": None, "stress": np.zeros(6)},
            "a charge": {"charge": 1},
            "no label": {"energy": None},
        }[what],
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a NaN energy", "energy holds NaN"),
        ("a NaN force", "forces holds NaN"),
        ("an infinite position", "positions holds NaN or infinity"),
        ("an element of no table", "atomic number 119"),
        ("two atoms in one place", "O 0 and H 1 are nearer than 0.3"),
        ("a flat cell", "no volume"),
        ("too few forces", "has 8 forces for 9 atoms"),
        ("a stress without a cell", "stress but no cell"),
        ("a charge", r"charge \+1"),
        ("no label", "label it first"),
    ],
)
def test_a_bad_frame_is_refused_by_its_number(what: str, said: str, frames: list[Frame], tmp_path: Path) -> None:
    frames[7] = spoil(frames[7], what)
    with pytest.raises(TrainingError, match=rf"water\.npz, frame 7: .*{said}"):
        prepare_task(make_settings(tmp_path), LabelledData(frames, []), tmp_path)


def test_good_frames_are_taken(frames: list[Frame], tmp_path: Path) -> None:
    task = prepare_task(make_settings(tmp_path), LabelledData(frames[:8], frames[8:]), tmp_path)
    assert (len(task.training), len(task.validation)) == (8, 2)


def test_a_frame_given_twice_is_refused(frames: list[Frame]) -> None:
    twin = replace(frames[3], energy=0.0, source="more.npz, frame 0")
    with pytest.raises(TrainingError, match="more.npz, frame 0: is the same structure as water.npz, frame 3"):
        check_frames([*frames, twin], find_record(CONSERVATIVE))
    with pytest.raises(TrainingError, match="held out for validation"):
        check_apart(frames, [twin])


@pytest.mark.parametrize(
    ("factor", "unit"), [(1 / 0.0433641, "kcal/mol/Å"), (1 / 51.422067, "Hartree/Bohr"), (964.85, "kJ/mol/nm")]
)
def test_a_wrong_unit_is_named(factor: float, unit: str, frames: list[Frame], tmp_path: Path) -> None:
    data = LabelledData([own_labels(frame, factor) for frame in frames], [])
    settings = make_settings(tmp_path, from_scratch=False)
    with pytest.raises(TrainingError, match=f'"{unit}" would fit|check force_unit'):
        prepare_task(settings, data, tmp_path)


def test_the_right_unit_and_another_theory_are_taken(frames: list[Frame], tmp_path: Path) -> None:
    data = LabelledData([own_labels(frame, 1.3) for frame in frames], [])
    task = prepare_task(make_settings(tmp_path, from_scratch=False), data, tmp_path)
    assert len(task.training) == len(frames)


def own_labels(frame: Frame, factor: float) -> Frame:
    """Return the frame with forces of the start network, times a factor; energies of another theory."""
    found = load_model(CONSERVATIVE, device="cpu").predict(frame.atomic_numbers, frame.positions, frame.cell)
    energy = found.energy - 544.0 * len(frame.atomic_numbers)
    return replace(frame, energy=energy, forces=factor * found.forces)


def test_labels_of_another_theory_shift_the_references(frames: list[Frame], tmp_path: Path) -> None:
    data = LabelledData([own_labels(frame, 1.0) for frame in frames[:8]], [own_labels(f, 1.0) for f in frames[8:]])
    task = prepare_task(make_settings(tmp_path, from_scratch=False), data, tmp_path)
    from orbmm.training.validation.errors import validate

    errors = validate(task.network, task.validation)["all"]
    assert errors.energy_mev_per_atom < 1.0 and errors.forces_mev_per_angstrom < 0.1


def test_a_direct_network_takes_no_penalty_on_rotation(frames: list[Frame], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="rotation_share"):
        prepare_task(make_settings(tmp_path, DIRECT, rotation_share=0.2), LabelledData(frames, []), tmp_path)
