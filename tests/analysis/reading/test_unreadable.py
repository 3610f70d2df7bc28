"""Whatever a reader of another library raises is one sentence, and a file of that format that is whole is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_trajectory
from typer.testing import Result

MOVING = make_trajectory(Jiggle(frames=3), waters=10)
MOL2 = "@<TRIPOS>MOLECULE\nx\n 1 0 1\nSMALL\nNO_CHARGES\n@<TRIPOS>ATOM\n1 C 0 0 0 C.3 1 LIG 0\n"
STRUCTURES = {
    **dict.fromkeys(("junk.psf", "junk.pdb", "junk.cif", "junk.gro", "junk.pdb.gz", "junk.prmtop", "junk.hoomdxml")),
    **dict.fromkeys(("junk.xml", "junk.gsd", "junk.foo", "junk.h5", "junk.nc", "junk", "j.PDB")),
    "words.psf": "PSF junk\n",
    "other.psf": "junk\n",
    "short.mol2": MOL2,
    "empty.pdb": "",
    "words.pdb": "ATOM      1  N   ALA A   1      xx\n",
}
TRAJECTORIES = ("junk.xtc", "junk.trr", "junk.dcd", "junk.DCD", "junk.nc", "junk.lammpstrj", "junk.mdcrd", "junk.xyz",
                "junk.arc", "junk.ncrst", "junk.dtr", "junk.gsd", "junk.inpcrd", "junk.pdb", "junk.cif", "junk.gro",
                "junk.pdb.gz", "junk.psf", "junk.foo", "junk.h5", "junk")  # fmt: skip
SELECTIONS = ("name =~ '('", "name =~ '['", "1/0", "index < 'a'", "mass > x", "name ==", "'", "__import__('os')")


def write(folder: Path) -> tuple[Path, Path]:
    MOVING.save_xtc(str(folder / "moving.xtc"))
    MOVING[0].make_molecules_whole().save_pdb(str(folder / "start.pdb"))
    return folder / "moving.xtc", folder / "start.pdb"


def expect_sentence(answer: Result, *words: str) -> None:
    assert answer.exit_code == 2, (answer.output, answer.exception)
    assert answer.stderr.startswith("error: ") and answer.stderr.count("\n") == 1 and answer.stdout == ""
    assert len(answer.stderr) < 420 and all(word in answer.stderr for word in words), answer.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, analyze: Callable[..., Result], name: str
) -> None:
    moving, _ = write(tmp_path)
    content = STRUCTURES[name]
    junk = np.random.default_rng(2).bytes(2000) if content is None else content.encode()
    (tmp_path / name).write_bytes(junk)
    expect_sentence(analyze("--trajectory", moving, "--topology", tmp_path / name), name)
    expect_sentence(analyze("--trajectory", moving, "--topology", tmp_path), str(tmp_path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TRAJECTORIES)
def test_a_trajectory_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, analyze: Callable[..., Result], name: str
) -> None:
    _, start = write(tmp_path)
    (tmp_path / name).write_bytes(np.random.default_rng(2).bytes(2000))
    expect_sentence(analyze("--trajectory", tmp_path / name, "--topology", start), name)


@pytest.mark.parametrize("suffix", ["cif", "pdb", "gro", "XTC", "xyz", "ncrst"])
@pytest.mark.filterwarnings("ignore:.*netCDF4:UserWarning")
def test_a_whole_file_is_read(tmp_path: Path, analyze: Callable[..., Result], suffix: str) -> None:
    moving = MOVING if suffix != "ncrst" else MOVING[0]
    if suffix == "xyz":  # which holds no box
        moving = MOVING.make_molecules_whole()
        moving.unitcell_vectors = None
    moving.save(str(tmp_path / f"moving.{suffix.lower()}"))
    trajectory = (tmp_path / f"moving.{suffix.lower()}").rename(tmp_path / f"moving.{suffix}")
    start = moving[0] if suffix == "xyz" else moving[0].make_molecules_whole()
    start.save_pdb(str(tmp_path / "start.pdb"))
    answer = analyze("--trajectory", trajectory, "--topology", tmp_path / "start.pdb")
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_selection_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, analyze: Callable[..., Result], selection: str
) -> None:
    moving, start = write(tmp_path)
    answer = analyze("--trajectory", moving, "--topology", start, "--site", selection)
    expect_sentence(answer, "cannot be read")


def test_a_selection_that_can_be_read_is_taken(tmp_path: Path, analyze: Callable[..., Result]) -> None:
    moving, start = write(tmp_path)
    assert analyze("--trajectory", moving, "--topology", start, "--site", "name =~ 'C.*'").exit_code == 0


@pytest.mark.parametrize("content", [None, "", "words\n"])
def test_a_crystal_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, analyze: Callable[..., Result], content: str | None
) -> None:
    moving, start = write(tmp_path)
    junk = np.random.default_rng(2).bytes(2000) if content is None else content.encode()
    (tmp_path / "crystal.pdb").write_bytes(junk)
    answer = analyze("--trajectory", moving, "--topology", start, "--crystal", tmp_path / "crystal.pdb")
    expect_sentence(answer, "crystal.pdb")
