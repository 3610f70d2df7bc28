"""Any path that a file system has: readers in C take ASCII letters alone, and all of them go by the suffix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from typer.testing import Result

from orbmm.analysis import compute_rmsd, read_plain_trajectory, read_run_folder
from orbmm.analysis.reading.formats import count_frames
from orbmm.analysis.reading.opening import lend_plain_path

MOVING = make_trajectory(Jiggle(frames=4, shake_nm=0.004), waters=10)
EXPECTED = compute_rmsd(MOVING, MOVING[0]).values["backbone"]
FOLDERS = ("größe", "水", "[red]a[b] $x$", "a*b?", " space ", 'quote\'s "two"')


def write_pair(folder: Path, suffix: str) -> tuple[Path, Path]:
    """Write frames and topology by paths that mdtraj takes, and move them into the folder."""
    folder.mkdir()
    for name, frames in ((f"moving{suffix}", MOVING), ("start.pdb", MOVING[0].make_molecules_whole())):
        plain = folder.parent / name.lower()
        frames.save(str(plain))
        plain.rename(folder / name)
    return folder / f"moving{suffix}", folder / "start.pdb"


@pytest.mark.parametrize("suffix", [".xtc", ".trr", ".dcd", ".DCD", ".XTC", ".lammpstrj", ".pdb", ".gro"])
@pytest.mark.parametrize("name", ["größe", os.fsdecode(b"latin-\xfc"), "plain"], ids=["utf8", "latin1", "ascii"])
def test_every_format_is_read_by_any_path(tmp_path: Path, name: str, suffix: str) -> None:
    recording = read_plain_trajectory(*write_pair(tmp_path / name, suffix))
    measured = compute_rmsd(recording.frames, MOVING[0]).values["backbone"]
    np.testing.assert_allclose(measured, EXPECTED, atol=0.02)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_run_is_analysed_in_any_folder(tmp_path: Path, analyze: Callable[..., Result], name: str) -> None:
    plain = write_run_folder(tmp_path / "run", MOVING)
    folder = plain.rename(tmp_path / name)
    assert count_frames(folder / "trajectory.xtc") == 4
    answer = analyze(folder)
    assert answer.exit_code == 0, answer.output
    assert read_run_folder(folder).frames.path == folder / "trajectory.xtc"
    missing = analyze(folder / "nowhere")
    assert missing.exit_code == 2 and missing.stderr.count("\n") == 1


def test_an_ascii_path_is_used_as_it_is_and_no_link_is_left(tmp_path: Path) -> None:
    plain, strange = tmp_path / "a.xtc", tmp_path / "ä.xtc"
    strange.write_bytes(b"frames")
    with lend_plain_path(plain) as lent:
        assert lent == str(plain)
    with lend_plain_path(strange) as lent:
        assert lent.isascii() and lent.endswith(".xtc") and Path(lent).read_bytes() == b"frames"
    assert not os.path.lexists(lent) and strange.read_bytes() == b"frames"


def test_a_folder_for_temporary_files_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ä").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "ä"))
    with lend_plain_path(tmp_path / "ö.trr") as lent:
        assert lent.isascii()


def test_mdtraj_alone_still_fails_on_such_a_path(tmp_path: Path) -> None:
    frames, _ = write_pair(tmp_path / "größe", ".xtc")
    with pytest.raises(UnicodeEncodeError):
        md.load(str(frames), top=MOVING.topology)
