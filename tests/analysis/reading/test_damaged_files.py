"""Files that a reader of mdtraj would read in part, crash on or refuse with a bare exception are one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory

from orbmm.analysis.reading.run_folder import read_plain_trajectory, read_structure
from orbmm.analysis.reading.trr import walk_trr
from orbmm.errors import AnalysisError

MOVING = make_trajectory(Jiggle(frames=3), waters=10)
ATOMS = MOVING.n_atoms
HEADER_WORDS = {  # word of a TRR header, and a value with which a reader in C divides by zero or makes room for 2^31
    "no atoms": (16, 0),
    "2^31 - 1 atoms": (16, 2**31 - 1),
    "one atom more": (16, ATOMS + 1),
    "positions of one atom less": (13, 12 * ATOMS - 12),
    "a box of one number": (8, 4),
    "a negative block": (14, -36),
    "an unused block": (6, 8),
    "a name of 2^30 letters": (2, 2**30),
}


def read_all(folder: Path, name: str) -> int:
    (start := MOVING[0].make_molecules_whole()).save_pdb(str(folder / "start.pdb"))
    recording = read_plain_trajectory(folder / name, folder / "start.pdb")
    assert recording.start.n_atoms == start.n_atoms
    return sum(chunk.n_frames for chunk in recording.frames.read_chunks())


@pytest.mark.parametrize(("word", "value"), HEADER_WORDS.values(), ids=HEADER_WORDS)
def test_a_trr_header_that_cannot_be_is_refused(tmp_path: Path, word: int, value: int) -> None:
    MOVING.save_trr(str(tmp_path / "moving.trr"))
    content = bytearray((tmp_path / "moving.trr").read_bytes())
    assert read_all(tmp_path, "moving.trr") == 3
    for frame, torn in ((0, "is it whole|the topology"), (1, "torn after frame 1")):
        damaged = content[:]
        struct.pack_into(">i", damaged, frame * len(content) // 3 + 4 * word, value)
        (tmp_path / "damaged.trr").write_bytes(damaged)
        with pytest.raises(AnalysisError, match=torn):
            read_all(tmp_path, "damaged.trr")


def test_the_frames_of_a_trr_file_end_where_the_next_begin(tmp_path: Path) -> None:
    MOVING.save_trr(str(tmp_path / "moving.trr"))
    size = (tmp_path / "moving.trr").stat().st_size
    assert [frame.end for frame in walk_trr(tmp_path / "moving.trr")] == [size // 3, 2 * size // 3, size]


@pytest.mark.parametrize("suffix", ["gro", "xyz", "lammpstrj", "mdcrd"])
def test_a_number_that_is_cut_is_not_taken_for_a_whole_one(tmp_path: Path, suffix: str) -> None:
    MOVING.save(str(tmp_path / f"moving.{suffix}"))
    content = (tmp_path / f"moving.{suffix}").read_bytes().rstrip()
    (tmp_path / f"moving.{suffix}").write_bytes(content[:-1])
    with pytest.raises(AnalysisError, match=f"moving.{suffix}: cannot be read .*ends within a line"):
        read_all(tmp_path, f"moving.{suffix}")


def test_a_gro_line_that_is_no_atom_is_one_sentence(tmp_path: Path) -> None:
    MOVING[0].save_gro(str(tmp_path / "start.gro"))
    assert read_structure(tmp_path / "start.gro").n_atoms == ATOMS
    lines = (tmp_path / "start.gro").read_text().splitlines()
    (tmp_path / "start.gro").write_text("\n".join([*lines[:5], lines[5][:30], *lines[6:], ""]))
    with pytest.raises(AnalysisError, match="start.gro: cannot be read as a structure") as caught:
        read_structure(tmp_path / "start.gro")
    assert "\n" not in str(caught.value)


def test_a_column_of_models_in_other_letters_is_refused(tmp_path: Path) -> None:
    MOVING.save_cif(str(tmp_path / "start.cif"))
    assert read_structure(tmp_path / "start.cif").n_atoms == ATOMS
    text = (tmp_path / "start.cif").read_text()
    (tmp_path / "start.cif").write_text(text.replace("pdbx_PDB_model_num", "pdbx_pdb_model_num"))
    with pytest.raises(AnalysisError, match="pdbx_PDB_model_num in these capitals"):
        read_structure(tmp_path / "start.cif")


def test_a_frame_of_more_atoms_than_memory_holds_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "moving.xyz").write_text(f"{2**62}\n\nC 0 0 0\n")
    with pytest.raises(AnalysisError, match="moving.xyz: cannot be read as a trajectory"):
        read_all(tmp_path, "moving.xyz")
