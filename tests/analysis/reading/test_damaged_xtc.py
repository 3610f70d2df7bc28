"""A frame that would make the reader in C write beyond its memory ends an analysis with one sentence."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from typer.testing import Result

from orbmm.analysis import follow_run
from orbmm.errors import AnalysisError
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame


def craft(path: Path) -> None:
    """Let the third frame have one atom more than the others: each frame has memory for those of the first alone."""
    content = bytearray(path.read_bytes())
    place = 0
    for _ in range(2):
        place += measure_frame(content[place : place + HEADER_BYTES]) or 0
    (atoms,) = struct.unpack_from(">i", content, place + 4)
    struct.pack_into(">i", content, place + 4, atoms + 1)
    path.write_bytes(content)


@pytest.fixture
def crafted(tmp_path: Path) -> Path:
    """A run whose trajectory was changed."""
    folder = write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=4), waters=10))
    craft(folder / "trajectory.xtc")
    return folder


def test_an_analysis_names_the_frame(crafted: Path, analyze: Callable[..., Result]) -> None:
    files = ("--trajectory", crafted / "trajectory.xtc", "--topology", crafted / "topology.pdb")
    for words in ((crafted,), files):
        answer = analyze(*words)
        assert answer.exit_code == 2 and answer.stdout == "" and answer.stderr.count("\n") == 1, answer.output
        assert "trajectory.xtc: frame 3 has 53 atoms, but those before 52; take the file from a copy" in answer.stderr


def test_a_run_that_is_followed_ends_with_the_same_sentence(crafted: Path) -> None:
    with pytest.raises(AnalysisError, match="frame 3 has 53 atoms"):
        for update in follow_run(crafted, 0.1, sleep=lambda seconds: None):
            list(update.recording.frames.read_chunks())


def test_a_frame_that_was_put_right_is_read(crafted: Path, analyze: Callable[..., Result]) -> None:
    assert analyze(crafted).exit_code == 2
    make_trajectory(Jiggle(frames=4), waters=10).save_xtc(str(crafted / "trajectory.xtc"))
    assert analyze(crafted).exit_code == 0
