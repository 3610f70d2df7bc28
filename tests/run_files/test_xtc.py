"""Frame lengths from headers: a crafted header ends the count, it does not make it endless."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from mdtraj.formats import XTCTrajectoryFile

from orbmm.analysis.reading.formats import count_frames
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame


@pytest.mark.parametrize("atoms", [1, 9, 10, 57])
def test_the_length_is_that_of_the_file(atoms: int, tmp_path: Path) -> None:
    path = tmp_path / "one.xtc"
    with XTCTrajectoryFile(str(path), "w") as file:
        file.write(np.random.default_rng(1).normal(size=(1, atoms, 3)).astype(np.float32))
    content = path.read_bytes()
    assert measure_frame(content[:HEADER_BYTES]) == len(content)
    path.write_bytes(content * 3 + content[:-1])
    assert count_frames(path) == 3


def _write_header(magic: int = 1995, atoms: int = 57, packed: int = 100) -> bytes:
    header = bytearray(HEADER_BYTES)
    struct.pack_into(">2i", header, 0, magic, atoms)
    struct.pack_into(">i", header, HEADER_BYTES - 4, packed)
    return bytes(header)


def test_a_header_gives_the_length() -> None:
    assert measure_frame(_write_header()) == HEADER_BYTES + 100
    assert measure_frame(_write_header(packed=101)) == HEADER_BYTES + 104


@pytest.mark.parametrize("change", [{"packed": -92}, {"packed": -1}, {"atoms": -5}, {"magic": 1994}])
def test_an_impossible_header_measures_nothing_and_ends_the_count(change: dict[str, int], tmp_path: Path) -> None:
    assert measure_frame(_write_header(**change)) is None
    path = tmp_path / "crafted.xtc"
    path.write_bytes(_write_header(**change) * 10)
    assert count_frames(path) == 0


def test_half_a_header_measures_nothing() -> None:
    assert measure_frame(_write_header()[:91]) is None
    assert measure_frame(b"") is None
