"""Structure files, and what is said of those that are none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from orbmm.errors import PreparationError, UnsafeFile
from orbmm.preparation.reading.source import read_source

BAD_SOURCES = {
    "nowhere/to/be/found.pdb": "there is no structure file",
    "structure.xyz": "neither a structure file",
    "alanine-dipeptid": "neither a structure file",
    "pdb:2CBAX": "no entry of the Protein Data Bank",
    "pdb:": "no entry of the Protein Data Bank",
}


@pytest.mark.parametrize(("source", "message"), BAD_SOURCES.items(), ids=BAD_SOURCES)
def test_a_source_that_is_none_is_refused_in_one_line(source: str, message: str) -> None:
    with pytest.raises(PreparationError, match=message) as refusal:
        read_source(source)
    assert "\n" not in str(refusal.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pdb").write_text(" \n")
    with pytest.raises(PreparationError, match="empty.pdb is empty"):
        read_source(str(tmp_path / "empty.pdb"))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.pdb").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(PreparationError, match="cannot be read"):
        read_source(str(tmp_path / "picture.pdb"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pdb").mkdir()
    with pytest.raises(PreparationError, match="cannot be read"):
        read_source(str(tmp_path / "folder.pdb"))


def test_a_file_is_known_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "Some.PDB").write_text("END\n")
    file = read_source(str(tmp_path / "Some.PDB"))
    assert (file.name, file.kind) == ("some", "pdb")
    assert file.sha256 == hashlib.sha256(b"END\n").hexdigest()


def test_neither_a_pipe_nor_an_endless_file_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pdb")
    (tmp_path / "endless.pdb").symlink_to("/dev/zero")
    for name in ("pipe.pdb", "endless.pdb"):
        with pytest.raises(UnsafeFile, match=f"{name} is not a regular file"):
            read_source(str(tmp_path / name))
    with (tmp_path / "huge.pdb").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UnsafeFile, match="huge.pdb holds more than"):
        read_source(str(tmp_path / "huge.pdb"))
