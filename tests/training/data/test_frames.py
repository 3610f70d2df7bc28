"""Frames survive the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orbmm.training.data.frames import Frame, read_frames, write_frames


def test_frames_come_back_as_they_were_written(frames: list[Frame], tmp_path: Path) -> None:
    frames[1] = replace(frames[1], stress=np.arange(6.0), charge=-1, multiplicity=2)
    write_frames(tmp_path / "frames.npz", frames)
    for before, after in zip(frames, read_frames(tmp_path / "frames.npz"), strict=True):
        for name in ("group", "energy", "charge", "multiplicity"):
            assert getattr(after, name) == getattr(before, name)
        for name in ("atomic_numbers", "positions", "peptide", "forces", "cell", "stress"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_frames_without_labels_come_back_without_labels(frames: list[Frame], tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.npz", [replace(frame, energy=None, forces=None) for frame in frames])
    assert not any(frame.is_labelled for frame in read_frames(tmp_path / "frames.npz"))


def test_partly_labelled_frames_are_refused(frames: list[Frame], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="partly labelled"):
        write_frames(tmp_path / "frames.npz", [replace(frames[0], energy=None), *frames[1:]])
