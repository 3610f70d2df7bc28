"""Whatever is wrong with its input, `orbmm analyze` ends with exit code 2 and one sentence, in readers in C too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_box, make_trajectory
from typer.testing import Result

Files = dict[str, Path]


def cut_file(path: Path, missing: int) -> None:
    path.write_bytes(path.read_bytes()[:-missing])


def drop_box(files: Files) -> None:
    moving = md.load(str(files["trajectory"]), top=str(files["topology"]))
    moving.unitcell_vectors = None
    moving.save_dcd(str(files["trajectory"].with_suffix(".dcd")))
    files["trajectory"] = files["trajectory"].with_suffix(".dcd")


def spoil_frame(files: Files) -> None:
    moving = md.load(str(files["trajectory"]), top=str(files["topology"]))
    moving.xyz[3, 5] = np.nan
    moving.save_dcd(str(files["trajectory"].with_suffix(".dcd")))
    files["trajectory"] = files["trajectory"].with_suffix(".dcd")


WRONG: dict[str, tuple[Callable[[Files], object], str]] = {
    "no topology": (lambda files: files["topology"].unlink(), "start.pdb: no such structure file; give a PDB"),
    "no trajectory": (lambda files: files["trajectory"].unlink(), "moving.xtc: no such trajectory"),
    "empty": (lambda files: files["trajectory"].write_bytes(b""), "no such trajectory, or an empty file"),
    "not a trajectory": (lambda files: files["trajectory"].write_text("words\n"), "does not begin as an XTC file does"),
    "torn": (lambda files: cut_file(files["trajectory"], 50), "torn after frame 7; keep the 7 whole frames"),
    "other atoms": (
        lambda files: make_box(10).save_pdb(str(files["topology"])),
        "has 82 atoms a frame, but the topology 52",
    ),
    "no box": (drop_box, "moving.dcd: the box is missing, though the topology has one; write frames with a box"),
    "not finite": (spoil_frame, "moving.dcd: frame 4 has coordinates that are not finite"),
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Files:
    moving = make_trajectory(Jiggle(frames=8), waters=20)
    moving[0].make_molecules_whole().save_pdb(str(tmp_path / "start.pdb"))
    moving.save_xtc(str(tmp_path / "moving.xtc"))
    return {"trajectory": tmp_path / "moving.xtc", "topology": tmp_path / "start.pdb"}


def name_files(files: Files) -> list[str | Path]:
    return [word for name, path in files.items() for word in (f"--{name}", path)]


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_input_is_one_sentence(
    files: Files, analyze: Callable[..., Result], capfd: pytest.CaptureFixture[str], wrong: str
) -> None:
    spoil, words = WRONG[wrong]
    spoil(files)
    answer = analyze(*name_files(files))
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.startswith("error: ") and words in answer.stderr
    assert answer.stderr.count("\n") == 1 and answer.stdout == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("site", "words"),
    [("resSeq 900", "matches no atom"), ("water", "matches no heavy atom of the solute"), ("junk (", "cannot be read")],
)
def test_a_selection_that_selects_nothing_is_one_sentence(
    files: Files, analyze: Callable[..., Result], site: str, words: str
) -> None:
    answer = analyze(*name_files(files), "--site", site)
    assert answer.exit_code == 2
    assert words in answer.stderr and answer.stderr.count("\n") == 1 and answer.stdout == ""


def test_the_same_input_without_a_fault_is_analysed(files: Files, analyze: Callable[..., Result]) -> None:
    assert analyze(*name_files(files)).exit_code == 0
