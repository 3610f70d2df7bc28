"""Frame lengths from headers, and the check that keeps crafted frames from the reader in C.

A header that cannot be ends the count of frames and does not make it endless.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest
from mdtraj.formats import XTCTrajectoryFile
from openmm import app

from orbmm.analysis.reading.formats import count_frames
from orbmm.run_files.xtc import HEADER_BYTES, find_xtc_fault, measure_frame


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


def _make_frames(kind: str, frames: int, atoms: int) -> np.ndarray:
    """Positions (F, A, 3) [nm] of a gas, a chain, or molecules of three atoms; of 3 km for a wide gas."""
    rng = np.random.default_rng(5)
    if kind == "chain":
        return np.cumsum(rng.normal(size=(frames, atoms, 3)) * 0.05, axis=1).astype(np.float32)
    if kind == "molecules":
        places = rng.uniform(size=(frames, atoms // 3 + 1, 1, 3)) * 3.0
        molecules = places + 0.08 * rng.normal(size=(frames, atoms // 3 + 1, 3, 3))
        return molecules.reshape(frames, -1, 3)[:, :atoms].astype(np.float32)
    return (rng.normal(size=(frames, atoms, 3)) * (3000.0 if kind == "wide gas" else 1.0)).astype(np.float32)


def _write_frames(path: Path, positions: np.ndarray) -> bytes:
    with XTCTrajectoryFile(str(path), "w") as file:
        file.write(positions)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["gas", "wide gas", "chain", "molecules"])
@pytest.mark.parametrize("atoms", [1, 9, 10, 11, 300])
def test_whole_files_have_no_fault(kind: str, atoms: int, tmp_path: Path) -> None:
    path = tmp_path / "whole.xtc"
    content = _write_frames(path, _make_frames(kind, 5, atoms))
    assert find_xtc_fault(path) is None
    path.write_bytes(content[:-20])
    assert find_xtc_fault(path) is None  # a torn last frame is for the reader to find
    path.write_bytes(content[:30])
    assert find_xtc_fault(path) == "its first frame is not whole"


def test_files_that_openmm_wrote_have_no_fault(tmp_path: Path) -> None:
    topology = app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for _ in range(60):
        topology.addAtom("C", app.element.carbon, residue)
    file = app.XTCFile(str(tmp_path / "openmm.xtc"), topology, 0.002)
    for frame in _make_frames("molecules", 3, 60):
        file.writeModel(frame.tolist(), periodicBoxVectors=[openmm.Vec3(*row) for row in np.eye(3)])
    assert count_frames(tmp_path / "openmm.xtc") == 3
    assert find_xtc_fault(tmp_path / "openmm.xtc") is None


HEADER_FAULTS = {
    "magic": (0, 1994, "frame 2 does not begin as one of an XTC file does"),
    "no atoms": (4, 0, "frame 2 does not begin as one of an XTC file does"),
    "more atoms than a reader counts": (4, 2**31 - 1, "frame 2 does not begin as one of an XTC file does"),
    "other atoms": (4, 61, "frame 2 has 61 atoms, but those before 60"),
    "fewer packed atoms": (52, 59, "frame 2 has 59 atoms, but those before 60"),
    "no resolution": (56, 0, "frame 2 has a resolution of 1/0 nm"),
    "resolution that is no number": (56, 0x7FC00000, "frame 2 has a resolution of 1/nan nm"),
    "range below zero": (72, -(2**31), "frame 2 has coordinates in an impossible range"),
    "index below the table": (84, 8, "frame 2 has coordinates in an impossible range"),
    "index above the table": (84, 73, "frame 2 has coordinates in an impossible range"),
    "no length": (88, 0, "frame 2 has 0 bytes of coordinates, and 60 atoms take at most 852"),
    "negative length": (88, -92, "frame 2 has -92 bytes of coordinates, and 60 atoms take at most 852"),
    "length above the buffer": (88, 853, "frame 2 has 853 bytes of coordinates, and 60 atoms take at most 852"),
}


@pytest.mark.parametrize("kind", HEADER_FAULTS)
def test_a_header_that_a_reader_must_not_trust_is_a_fault(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "crafted.xtc"
    content = bytearray(_write_frames(path, _make_frames("molecules", 3, 60)))
    assert find_xtc_fault(path) is None
    place, number, fault = HEADER_FAULTS[kind]
    struct.pack_into(">i", content, (measure_frame(content[:HEADER_BYTES]) or 0) + place, number)
    path.write_bytes(content)
    assert find_xtc_fault(path) == fault


def _unpack(frame: bytes) -> list[list[float]] | None:
    """Unpack a frame bit by bit; None where it does not fit: too many atoms, too few bits, no such size."""
    atoms, low, high = (
        *struct.unpack_from(">i", frame, 4),
        *np.array(struct.unpack_from(">6i", frame, 60)).reshape(2, 3),
    )
    index, packed = struct.unpack_from(">2i", frame, 84)
    bits = "".join(f"{byte:08b}" for byte in frame[HEADER_BYTES : HEADER_BYTES + packed])
    place, run, found = 0, 0, []

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place] or "0", 2)

    def read_three(count: int, sizes: list[int]) -> np.ndarray:
        parts = [read(8) for _ in range(count // 8)] + ([read(count % 8)] if count % 8 else [])
        whole = sum(part << 8 * i for i, part in enumerate(parts))
        return np.array([whole // (sizes[1] * sizes[2]), whole // sizes[2] % sizes[1], whole % sizes[2]], dtype=object)

    ranges = [int(size) for size in high - low + 1]
    while len(found) < atoms:
        first = read_three((ranges[0] * ranges[1] * ranges[2]).bit_length(), ranges) + low
        step = 0
        if read(1):
            run, step = divmod(read(5), 3)
            step -= 1
        near = []
        for _ in range(run):
            size = 5060 if index == 37 else int(2 ** (index / 3) + 1e-6)  # of the format's table, an odd one included
            near.append(read_three(index, [size] * 3) - size // 2 + (near[-1] if near else first))
        found += [near[0], first, *near[1:]] if near else [first]
        index += step
        if place > len(bits) or len(found) > atoms or not 9 <= index <= 72:
            return None
    return [[int(number) / 1000.0 for number in atom] for atom in found]


@pytest.mark.parametrize("kind", ["gas", "chain", "molecules"])
def test_packed_atoms_are_a_fault_where_they_cannot_be_unpacked(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "one.xtc"
    positions = _make_frames(kind, 1, 60)
    content = _write_frames(path, positions)
    np.testing.assert_allclose(_unpack(content), positions[0], atol=0.0006)  # the unpacking here is right
    outcomes, rng = [], np.random.default_rng(6)
    for _ in range(150):
        changed = bytearray(content)
        changed[rng.integers(HEADER_BYTES, len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        outcomes.append(find_xtc_fault(path) is None)
        assert outcomes[-1] == (_unpack(changed) is not None)
    assert 0 < sum(outcomes) < 150


READ = """
import sys
from mdtraj.formats import XTCTrajectoryFile
with XTCTrajectoryFile(sys.argv[1]) as file:
    file.read()
"""


def test_the_reader_in_c_does_not_survive_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "crafted.xtc"
    content = bytearray(_write_frames(path, _make_frames("molecules", 1, 60)))
    struct.pack_into(">i", content, HEADER_BYTES - 4, 50_000_000)
    path.write_bytes(content + bytes(50_000_000))
    assert find_xtc_fault(path) is not None
    assert subprocess.run([sys.executable, "-c", READ, path], check=False, capture_output=True).returncode < 0
